# SPDX-License-Identifier: Apache-2.0
"""What a frame costs: rows of tiny codecs, aims by hand, and the real node watched from outside."""

from __future__ import annotations

import json
import math
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from tiny_codec import write_codec

from frankensplit.benchmarks.edge_aims import AIMS, judge
from frankensplit.benchmarks.edge_path import STAGES, CallTimes, CameraFormat, CameraPicture, Summary
from frankensplit.bundle import PRECISIONS, Codec
from frankensplit.cli import main
from fs_bench import edge

SHORT = ["--frames", "2", "--repeats", "1", "--camera", "480x360:rgb8", "--camera", "640x480:jpeg"]


@pytest.fixture(scope="module")
def codecs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Write two codecs."""
    folder = tmp_path_factory.mktemp("codecs")
    return [str(write_codec(folder / name)) for name in ("one", "two")]


@pytest.fixture(scope="module")
def result(codecs: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Measure both without the node."""
    out = tmp_path_factory.mktemp("out") / "edge.json"
    assert main(["bench", "edge", *codecs, *SHORT, "--no-node", "--json", str(out)]) == 0
    return json.loads(out.read_text())


def test_a_row_for_each_camera_and_encoder(result: dict, codecs: list[str]) -> None:
    assert {"rows", "aims", "not_measured", "command", "commit", "machine", "threads"} <= set(result)
    named = {(row["size"], row["input"], row["bundle"], row["precision"]) for row in result["rows"]}
    cameras = (("480x360", "rgb8"), ("640x480", "jpeg"))
    precisions = [(name, one) for name in codecs for one in Codec.open(name).precisions]
    assert named == {(*camera, *encoder) for camera in cameras for encoder in precisions}
    missing = {(name, one) for name in codecs for one in PRECISIONS} - set(precisions)
    assert {f"{name} {precision}" for name, precision in missing} <= set(result["not_measured"])


def test_figures_of_a_row_belong_together(result: dict) -> None:
    for row in result["rows"]:
        ratios = [
            row[f"over_{name}{clock}"]
            for name in ("webp_q80", "png", "jpeg_q90")
            for clock in ("", "_best", "_wall")
        ]
        assert all(math.isfinite(ratio) and ratio > 0 for ratio in ratios)
        assert set(row["stages_ms"]) == set(STAGES)
        assert all(taken >= 0 for taken in row["stages_ms"].values())
        assert row["pipelining_gain"] > 0
        assert 0 < row["entropy_share"] < 1 and 0 < row["convert_and_scale_share"] < 1


def test_what_is_not_measured_is_null_and_says_why(result: dict) -> None:
    assert result["not_measured"]["node"] == "--no-node"
    assert all(row[name] is None for row in result["rows"] for name in edge.NODE_FIGURES)
    if find_spec("compressai"):
        assert all(one > 0 for row in result["rows"] for one in row["coding_speedup"].values())
    else:
        assert all(row["coding_speedup"] is None for row in result["rows"])


def test_the_table_of_the_docs_has_every_row_and_aim(result: dict) -> None:
    table = edge.summary_markdown(result)
    assert table.count("\n| 480x360 rgb8 |") + table.count("\n| 640x480 jpeg |") == len(result["rows"])
    assert all(f"| {aim.name} |" in table for aim in AIMS)


def row(**given) -> dict:
    """Give a row that meets every aim."""
    good = {
        "size": "480x360",
        "input": "rgb8",
        "encoder": "s",
        "precision": "int8",
        "over_webp_q80": 1.2,
        "coding_speedup": {"encode": 13.0, "decode": 9.0},
        "entropy_share": 0.02,
        "convert_and_scale_share": 0.1,
        "rss_mb": 150.0,
        "first_packet_s": 2.0,
        "idle_cpu_percent": 0.5,
        "wake_frames": 1,
        "budget_off_percent": 3.0,
    }
    return {**good, **given}


def test_aims_are_judged_by_the_worst_of_their_rows() -> None:
    fp32 = row(precision="fp32", over_webp_q80=3.0)
    nano = row(encoder="nano", over_webp_q80=0.4, coding_speedup=None)
    assert all(verdict["met"] for verdict in judge([row(), fp32, nano]))
    slow = judge([row(), row(over_webp_q80=1.4), nano])
    assert [(one["measured"], one["met"]) for one in slow[:2]] == [(1.4, False), (0.4, True)]
    coding = next(
        one for one in judge([row(coding_speedup={"encode": 11.0, "decode": 9.0})]) if one["limit"] == 12
    )
    assert not coding["at_most"] and coding["measured"] == 11.0 and coding["met"] is False


def test_an_aim_without_rows_is_not_met_and_not_missed() -> None:
    assert {verdict["met"] for verdict in judge([])} == {None}
    assert all(verdict["measured"] is None for verdict in judge([]))


def test_cameras_send_what_the_node_understands() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (36, 48, 3), dtype=np.uint8)
    frame = CameraPicture(rgb)
    for encoding in ("rgb8", "bgr8"):
        camera = CameraFormat(36, 48, encoding)
        np.testing.assert_array_equal(camera.to_rgb(frame.seen_by(camera)), rgb)
    jpeg = CameraFormat(72, 96, "jpeg")
    assert jpeg.to_rgb(frame.seen_by(jpeg)).shape == (72, 96, 3)
    assert frame.seen_by(jpeg) is frame.seen_by(jpeg)


def test_shares_are_of_all_stages() -> None:
    stages = dict(zip(STAGES, (1.0, 2.0, 6.0, 1.0), strict=True))
    summary = Summary.of(
        [CallTimes(10, 9, stages), CallTimes(30, 27, {name: 3 * one for name, one in stages.items()})]
    )
    assert (summary.wall_ms, summary.cpu_ms, summary.best_ms) == (20, 18, 9)
    assert summary.share("convert", "scale") == pytest.approx(0.3)


@pytest.mark.parametrize("text", ["480x360", "480:rgb8", "480x360:yuv", "0x:rgb8"])
def test_cameras_that_are_none(text: str, capsys) -> None:
    with pytest.raises(SystemExit):
        main(["bench", "edge", "--camera", text])
    assert "expected WIDTHxHEIGHT:ENCODING" in capsys.readouterr().err


def test_the_real_node_is_watched(tmp_path: Path) -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2: run `make setup`, or source a ROS installation")
    pytest.importorskip("fs_msgs.msg", reason="fs_msgs is not built: run `make setup` or colcon build")
    if not Path("/proc/self/smaps_rollup").exists():
        pytest.skip("memory of processes is read on Linux only")
    from fs_bench.edge_watch import Watch, watch_edge

    codec = write_codec(tmp_path / "codec", nominal_height=96, nominal_width=128)
    frames = np.zeros((2, 96, 128, 3), np.uint8)
    folder = tmp_path / "watch"
    folder.mkdir()
    seen = watch_edge(codec, "fp32", Watch(frames, rate_hz=20, packets=5, idle_s=0.5, budget_s=6), folder)
    assert 10 < seen.pss_mb <= seen.rss_mb
    assert 0 < seen.first_packet_s < 60 and seen.idle_cpu_percent >= 0 and seen.wake_frames >= 0
    assert 0 < seen.held_kbps < 1.5 * seen.target_kbps and seen.budget_off_percent >= 0
