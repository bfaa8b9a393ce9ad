# SPDX-License-Identifier: Apache-2.0
"""``info --verify`` and ``doctor`` say what a bundle would do beyond being read, and by which digest it is pinned."""

from __future__ import annotations

import json

import onnx
import pytest
from hostile_bundles import SERVER, replace_file, sign, write_bundle
from onnx import helper

from frankensplit.bundle import Codec, digest
from frankensplit.cli import main
from frankensplit.doctor.checks.bundle import check
from frankensplit.doctor.machine import Machine


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(tmp_path / "toy")


def told(capsys, *arguments) -> tuple[int, dict, str]:
    code = main(["info", *map(str, arguments), "--verify", "--json", "-"])
    streams = capsys.readouterr()
    return code, json.loads(streams.out) if streams.out else {}, streams.err


def found(folder) -> dict:
    return {finding.name: finding for finding in check(Machine(bundle=str(folder)))}


def add_loop(codec) -> None:
    model = onnx.load(codec / "encoder.onnx")
    model.graph.node.append(helper.make_node("Loop", ["frame"], ["more"]))
    replace_file(codec, "encoder.onnx", "encoder_sha256", model.SerializeToString())


@pytest.mark.parametrize("name", ["", "codec"])
def test_a_plain_bundle_does_nothing(bundle, capsys, name):
    code, info, said = told(capsys, bundle / name)
    assert (code, info["beyond_reading"]) == (0, [])
    assert "nothing beyond being read" in said and f"@sha256:{digest(bundle / name)}" in said
    assert info["digest"] == digest(bundle / name)
    trust = found(bundle / name)["trust"]
    assert (trust.level, "nothing beyond being read" in trust.text) == ("ok", True)
    assert digest(bundle / name) in trust.text


def test_the_digest_told_is_the_one_that_pins(bundle, capsys):
    _, _, said = told(capsys, bundle)
    name = next(line.partition(": ")[2] for line in said.splitlines() if line.startswith("exactly this one"))
    assert Codec.open(name).path == bundle / "codec"
    assert main(["info", name]) == 0
    assert main(["info", name[:-1] + ("0" if name[-1] != "0" else "1")]) != 0


@pytest.mark.parametrize(
    "weights",
    [
        {"package": "some-weights==1.0", "file": "models/x.pth", "sha256": "0" * 64},
        {"hub": "timm/convnext_atto", "sha256": "0" * 64},
        {"file": "/tmp/x", "sha256": "0" * 64},
        "http://example.org/\x1b[2J",
    ],
)
def test_weights_from_outside_are_told(bundle, capsys, weights):
    sign(bundle, server={**SERVER, "backbone": {**SERVER["backbone"], "weights": weights}})
    _, info, said = told(capsys, bundle)
    (line,) = info["beyond_reading"]
    assert "weights from outside" in line and "\x1b" not in said
    assert all(value in line for value in weights.values()) if isinstance(weights, dict) else "http" in line
    assert found(bundle)["trust"].level == "note"


def test_unlisted_files_are_told(bundle, capsys):
    (bundle / "cv_bridge.py").write_text("import os")
    code, info, _ = told(capsys, bundle)
    assert code == 1 and info["files"]["cv_bridge.py"]["state"] == "unlisted"
    assert {one["state"] for name, one in info["files"].items() if name != "cv_bridge.py"} == {"ok"}
    assert (found(bundle)["bundle"].level, "cv_bridge.py" in found(bundle)["bundle"].text) == ("fault", True)


def test_links_are_told(bundle, capsys, tmp_path):
    (bundle / "more").symlink_to("/etc/passwd")
    assert main(["info", str(bundle), "--verify"]) != 0
    assert "is a link" in capsys.readouterr().err


def test_unusual_nodes_are_told(bundle, capsys):
    add_loop(bundle / "codec")
    sign(bundle)
    assert main(["info", str(bundle), "--verify"]) != 0
    streams = capsys.readouterr()
    assert "would do: run encoder.onnx, which is refused" in streams.out and "'Loop'" in streams.out
    assert "Traceback" not in streams.err
    assert found(bundle)["trust"].level == "note"


def test_a_terminal_obeys_nothing_of_a_bundle(bundle, capsys):
    (bundle / "card.md").write_text("## Figures\n\x1b]0;x\x07\n[link](http://example.org)\n[/red]\n")
    sign(bundle, name="[red] toy [bold]")
    assert main(["info", str(bundle)]) == 0
    streams = capsys.readouterr()
    assert "\x1b" not in streams.out + streams.err and "[red] toy [bold]" in streams.out


def test_a_bundle_without_a_card_is_described(bundle, capsys):
    (bundle / "card.md").unlink()
    sign(bundle)
    assert main(["info", str(bundle)]) == 0
