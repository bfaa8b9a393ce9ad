# SPDX-License-Identifier: Apache-2.0
"""``frankensplit info`` says what a bundle is, and finds each file that changed."""

from __future__ import annotations

import json

import pytest
from tiny_codec import CHANNELS, write_codec, write_encoder

from frankensplit.bundle import Codec, find_bundle, write_manifest
from frankensplit.cli import main
from frankensplit.evaluation.encoder_cost import encoder_cost

LABELS = {"segmentation": {"classes": ["Sky", "Road"]}, "presence": {"classes": ["Road"]}}


@pytest.fixture
def bundle(tmp_path):
    """Write a bundle whose server parts are small files of any content: info does not build networks."""
    path = tmp_path / "lane"
    codec = Codec.open(write_codec(path / "codec"))
    (path / "server").mkdir()
    for part in ("blueprint", "backbone", "heads"):
        (path / "server" / f"{part}.safetensors").write_bytes(part.encode())
    (path / "labels.json").write_text(json.dumps(LABELS), encoding="utf-8")
    (path / "card.md").write_text(
        "# lane\n\n## Figures\n| codec | bytes |\n|---|---|\n| ours | 4321 |\n", encoding="utf-8"
    )
    server = {
        "backbone": {"model": "convnext_atto", "arguments": {}},
        "blueprint": {"family": "convnext", "arguments": {}},
        "heads": list(LABELS),
    }
    write_manifest(path, {"name": "lane", "codec_id": codec.id_hex, "server": server})
    return path


def told(path, tmp_path) -> tuple[int, dict]:
    out = tmp_path / "info.json"
    status = main(["info", str(path), "--json", str(out)])
    return status, json.loads(out.read_text(encoding="utf-8"))


def test_a_bundle_is_described(bundle, tmp_path, capsys):
    status, info = told(bundle, tmp_path)
    assert status == 0
    assert info["bundle"] == "lane" and info["heads"] == {
        name: known["classes"] for name, known in LABELS.items()
    }
    codec = info["codec"]
    assert codec["id"] == Codec.open(bundle).id_hex
    assert codec["latent_shape"] == [CHANNELS, 48, 60]
    assert (codec["nominal_width"], codec["nominal_height"]) == (480, 360)
    assert codec["parameters"] == CHANNELS * 3 * 8 * 8
    assert codec["macs_a_frame"] == codec["parameters"] * 48 * 60
    assert codec["robot_bytes"] == sum(p.stat().st_size for p in (bundle / "codec").iterdir())
    assert {file["state"] for file in info["files"].values()} == {"ok"}
    assert info["files"]["server/heads.safetensors"]["bytes"] == len(b"heads")
    text = capsys.readouterr().out
    for said in ("lane", codec["id"], "480x360", "convnext_atto", "Sky, Road", "4321", "tables.npz"):
        assert said in text


def test_a_codec_alone_is_described(bundle, tmp_path, capsys):
    status, info = told(bundle / "codec", tmp_path)
    assert status == 0 and set(info) == {"path", "files", "codec"}
    assert set(info["files"]) == {"encoder.onnx", "tables.npz"}
    assert "480x360" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["card.md", "codec/tables.npz", "server/backbone.safetensors"])
def test_a_changed_file_is_found_and_named(bundle, tmp_path, capsys, name):
    with (bundle / name).open("ab") as file:
        file.write(b"x")
    status, info = told(bundle, tmp_path)
    assert status == 1
    assert [file for file, found in info["files"].items() if found["state"] != "ok"] == [name]
    assert info["files"][name]["state"] == "changed"
    assert "changed" in capsys.readouterr().out


def test_a_missing_file_is_found(bundle, tmp_path):
    (bundle / "labels.json").unlink()
    status, info = told(bundle, tmp_path)
    assert status == 1 and info["files"]["labels.json"] == {"bytes": 0, "sha256": None, "state": "missing"}


def test_json_on_standard_output_is_nothing_but_json(bundle, capsys):
    assert main(["info", str(bundle), "--json", "-"]) == 0
    streams = capsys.readouterr()
    assert json.loads(streams.out)["bundle"] == "lane" and "lane" in streams.err


@pytest.mark.parametrize("manifest", ["", "[]", "{}", '{"files": 3}'])
def test_a_folder_that_is_no_bundle(bundle, capsys, manifest):
    (bundle / "manifest.json").write_text(manifest, encoding="utf-8")
    assert main(["info", str(bundle)]) == 2
    assert "manifest.json" in capsys.readouterr().err


def test_a_bundle_that_is_nowhere(capsys):
    assert main(["info", "no-such-bundle"]) == 2
    assert "no-such-bundle" in capsys.readouterr().err


def test_wrong_usage():
    with pytest.raises(SystemExit) as exit_:
        main(["info", "street", "--table5"])
    assert exit_.value.code == 2


def test_without_a_bundle_the_installed_ones_are_listed(tmp_path, capsys, monkeypatch):
    assert main(["info", "--json", "-"]) == 0
    streams = capsys.readouterr()
    found = json.loads(streams.out)["bundles"]
    street = found["street"]
    assert (
        street["heads"] == ["segmentation", "presence", "detections"]
        and street["backbone"] == "convnext_atto"
    )
    assert street["codec_id"] == Codec.open(find_bundle("street")).id_hex and street["error"] is None
    assert "street" in streams.err and "convnext_atto" in streams.err
    monkeypatch.setattr("frankensplit.cli.info.share_folders", lambda: [tmp_path])
    assert main(["info"]) == 0
    assert str(tmp_path / "bundles") in capsys.readouterr().out
    (tmp_path / "bundles" / "bad").mkdir(parents=True)
    (tmp_path / "bundles" / "bad" / "manifest.json").write_text("{}")
    assert main(["info"]) == 0
    assert "cannot be read" in " ".join(capsys.readouterr().out.split())


def test_steps_of_levels_say_what_they_mean(capsys):
    assert main(["info", "street"]) == 0
    text = " ".join(capsys.readouterr().out.replace("│", "").split())
    assert (
        "4, which round features to steps of 1, 1.4, 2, 2.8: larger steps, smaller packets, more loss" in text
    )


def test_cost_by_hand(tmp_path):
    cost = encoder_cost(write_encoder(tmp_path / "encoder.onnx"), 64, 96)
    assert cost is not None
    assert (cost.parameters, cost.macs) == (3 * 3 * 8 * 8, 3 * 3 * 8 * 8 * 8 * 12)


def test_levels_and_precisions_of_a_robots_codec_are_listed(capsys):
    assert main(["info", str(find_bundle("street") / "codec"), "--json", "-"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["codec"]["level_steps"] == [1, 1.4, 2, 2.8] and result["codec"]["context_coded"]
    assert result["codec"]["precisions"] == ["fp32", "fp16", "int8"]
    assert {"tables.3.npz", "contexts.npz", "contexts.3.npz", "encoder.int8-cpu.onnx"} <= set(result["files"])
    assert {one["state"] for one in result["files"].values()} == {"ok"}


def test_a_thousand_classes_are_counted_not_listed(bundle, tmp_path, capsys):
    many = [f"kind{number}" for number in range(1000)]
    labels = LABELS | {"presence": {"classes": many}}
    (bundle / "labels.json").write_text(json.dumps(labels), encoding="utf-8")
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    write_manifest(bundle, {name: manifest[name] for name in ("name", "codec_id", "server")})
    status, info = told(bundle, tmp_path)
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert status == 0 and info["heads"]["presence"] == many
    assert "kind19 and 980 more, see labels.json" in text and "kind20" not in text
