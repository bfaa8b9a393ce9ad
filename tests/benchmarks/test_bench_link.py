# SPDX-License-Identifier: Apache-2.0
"""Sizes of an evaluation and times of components, put together over links: every figure by hand."""

from __future__ import annotations

import json

import pytest

from frankensplit.benchmarks.settings import RatedSetting, choose, read_results, representative, settings_of
from frankensplit.cli import main
from frankensplit.errors import DataError


def row(codec, quality, size, loss):
    return {"codec": codec, "quality": quality, "bytes_per_frame": size, "loss_points": loss}


RESULTS = {
    "bundle": "lane",
    "data": "camvid:val",
    "heads": {
        "segmentation": {
            "rows": [
                row("frankensplit", 0, 4666.0, 0.33),
                row("jpeg", 10, 6000.0, 9.0),
                row("jpeg", 60, 22000.0, 0.4),
                row("jpeg", 40, 16000.0, 0.9),
                row("jpeg", 90, 48000.0, 0.1),
                row("webp", 20, 9000.0, 1.5),
                row("webp", 75, 20000.0, 0.7),
                row("webp", 90, 30000.0, 0.7),
                row("h264-p", 30, 3000.0, -0.2),
            ]
        },
        "presence": {"rows": [row("frankensplit", 0, 4666.0, 2.0), row("jpeg", 10, 6000.0, 0.0)]},
    },
}


def timed(codec, quality, *stages):
    names = ("encode_ms", "entropy_encode_ms", "entropy_decode_ms", "decode_ms", "tail_ms", "heads_ms")
    return {
        "codec": codec,
        "quality": quality,
        "bytes_per_frame": 518404.0,
        **dict(zip(names, stages, strict=True)),
    }


COMPONENTS = {
    "bundle": "lane",
    "data": "street:val",
    "frames": 10,
    "threads": 1,
    "device": "cpu",
    "machine": {"processor": "a"},
    "height": 360,
    "width": 480,
    "not_measured": {"h264-p": "no PyAV"},
    "rows": [
        timed("frankensplit", 0, 40.0, 0.5, 0.25, 45.0, 30.0, 32.0),
        timed("jpeg", 10, 9.0, None, None, 9.0, 60.0, 32.0),
        timed("jpeg", 60, 1.0, None, None, 1.5, 60.0, 32.0),
        timed("webp", 20, 10.0, None, None, 1.0, 60.0, 32.0),
        timed("raw", None, 0.2, None, None, 0.1, 60.0, 32.0),
    ],
}


def test_the_cheapest_setting_that_is_good_enough():
    chosen = choose(RESULTS, None, 0.4)
    assert chosen["jpeg"] == RatedSetting("jpeg", 60, 22000.0, 0.4, True)
    assert chosen["h264-p"].quality == 30
    assert choose(RESULTS, "segmentation", 1.0)["jpeg"].quality == 40


def test_a_codec_that_never_is_stands_with_its_best_and_says_so():
    assert choose(RESULTS, None, 0.4)["webp"] == RatedSetting("webp", 75, 20000.0, 0.7, False)
    assert not choose(RESULTS, "presence", 0.4)["frankensplit"].reaches


def test_without_results_the_middle_of_the_sweep_stands():
    assert representative("frankensplit") == RatedSetting("frankensplit", 0)
    assert representative("png").quality is None
    with pytest.raises(DataError, match="gif"):
        representative("gif")


def test_qualities_may_be_asked_for():
    settings = settings_of(["jpeg:20,40", "png"], choose(RESULTS, None, 0.4))
    assert [(one.codec, one.quality) for one in settings] == [
        ("frankensplit", 0),
        ("jpeg", 20),
        ("jpeg", 40),
        ("png", None),
        ("raw", None),
    ]
    assert settings_of(["jpeg"], choose(RESULTS, None, 0.4))[1].quality == 60


@pytest.fixture
def files(tmp_path):
    for name, value in (("results", RESULTS), ("components", COMPONENTS)):
        (tmp_path / f"{name}.json").write_text(json.dumps(value))
    return tmp_path


def linked(files, *more):
    out = files / "link.json"
    arguments = ["--results", str(files / "results.json"), "--components", str(files / "components.json")]
    assert main(["bench", "link", *arguments, *more, "--json", str(out)]) == 0
    return json.loads(out.read_text())


def test_rows_by_hand(files):
    result = linked(files)
    rows = {(row["codec"], row["link"]): row for row in result["rows"]}
    assert len(rows) == 4 * 6 and {"command", "commit", "machine"} <= set(result)
    ours = rows["frankensplit", "4G"]
    transfer_ms = (4666 + 4 * 96) * 8 / 12e3
    assert (ours["encode_ms"], ours["decode_ms"], ours["inference_ms"]) == (40.5, 45.25, 62.0)
    assert ours["transfer_ms"] == pytest.approx(transfer_ms, abs=1e-3)
    assert ours["transfer_nominal_ms"] == pytest.approx(4666 * 8 / 12e3, abs=1e-3)
    assert ours["total_ms"] == pytest.approx(40.5 + transfer_ms + 45.25 + 62, abs=1e-3)
    assert ours["frames_per_s"] == pytest.approx(1e3 / 107.25, abs=1e-3)  # the server is the slowest
    over_ble = rows["jpeg", "BLE"]
    assert over_ble["quality"] == 60 and over_ble["encode_ms"] == 1.0
    assert over_ble["frames_per_s"] == pytest.approx(1e3 / over_ble["transfer_ms"], abs=1e-3)
    assert rows["raw", "5G"]["bytes_per_frame"] == 518404.0 and rows["raw", "5G"]["loss_points"] == 0


def test_what_does_not_fit_is_said(files, capsys):
    result = linked(files)
    webp = next(row for row in result["rows"] if row["codec"] == "webp")
    assert (webp["reaches"], webp["quality"], webp["timed_quality"]) == (False, 75, 20)
    assert result["not_measured"] == {"h264-p": "no PyAV"}
    text = capsys.readouterr().err
    assert "0.70!" in text and "h264-p not measured: no PyAV" in text


def test_a_measured_link_is_one_more(files):
    (files / "yard.yaml").write_text("name: yard\nmbit_s: 1\n")
    result = linked(files, "--profile", str(files / "yard.yaml"), "--at-loss", "1", "--head", "segmentation")
    assert [link["name"] for link in result["links"]][-1] == "yard"
    jpeg = next(row for row in result["rows"] if (row["codec"], row["link"]) == ("jpeg", "yard"))
    assert jpeg["quality"] == 40 and jpeg["transfer_nominal_ms"] == 128.0


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("results", {"heads": {}}, "not a result of an evaluation"),
        ("results", {"heads": {"segmentation": {"rows": []}}}, "not a result of an evaluation"),
        ("results", {"bundle": "other"}, "time the same bundle"),
        ("components", {"rows": [{"codec": "jpeg"}]}, "not a result of frankensplit bench components"),
        ("components", {"threads": None}, None),
    ],
)
def test_wrong_files_are_explained(files, capsys, file, change, said):
    path = files / f"{file}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    arguments = ["--results", str(files / "results.json"), "--components", str(files / "components.json")]
    assert main(["bench", "link", *arguments]) == (2 if said else 0)
    assert (said or "") in capsys.readouterr().err


def test_unknown_head_and_missing_files_are_named(files, capsys):
    results = str(files / "results.json")
    assert main(["bench", "link", "--results", results, "--head", "depth"]) == 2
    assert "segmentation, presence" in capsys.readouterr().err
    assert main(["bench", "link", "--results", "gone.json"]) == 2
    assert "frankensplit evaluate" in capsys.readouterr().err
    assert main(["bench", "link", "--results", results, "--components", "gone.json"]) == 2
    assert "bench components" in capsys.readouterr().err


def test_the_committed_results_can_be_read(repository):
    results = read_results(repository / "docs" / "results" / "street-camvid-val.json")
    assert choose(results, "segmentation", 0.4)["frankensplit"].bytes_per_frame > 0
