# SPDX-License-Identifier: Apache-2.0
"""The demo's figures against numbers worked out by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch", reason="accuracy is measured by the heads' own metrics: needs torch")

from frankensplit.results import ClassesResult, MaskResult
from fs_demo.frames import DemoFrame, FrameCost
from fs_demo.live_table import line, number
from fs_demo.tally import REST, TOTAL, Tally, percentiles

LABELS = {
    "segmentation": {"classes": ["a", "b", "c"], "ignore": 11, "frequency": [0.4, 0.3, 0.3]},
    "presence": {"classes": ["a", "b", "c"]},
}


def tally() -> Tally:
    bundle: Any = SimpleNamespace(labels=LABELS, server={"heads": list(LABELS)})
    return Tally(bundle)


def mask() -> NDArray[np.uint8]:
    """Half class 0, half class 1."""
    return np.repeat(np.array([0, 1], np.uint8), 40).reshape(2, 40).repeat(20, 0)


def frame(index: int, predicted: NDArray[np.uint8] | None = None, **cost: Any) -> DemoFrame:
    given = {"sequence": index, "packet_bytes": 500, "lost": 0, "dropped": 0, "rejected": 0} | cost
    stages = {"edge: encoder": 10.0 + index, "transit": math.nan if index == 0 else 1.0}
    made = DemoFrame(index * 100_000_000, truth=mask())
    made.rgb = np.full((40, 40, 3), index, np.uint8)
    made.cost = FrameCost(stages_ms=stages, latency_ms=20.0 + 2 * index, **given)
    seen = mask() if predicted is None else predicted
    made.results = {
        "segmentation": MaskResult(seen),
        "presence": ClassesResult(np.array([0.9, 0.8, 0.1], np.float32), 0.5),
    }
    return made


def test_percentiles_ignore_what_is_not_known():
    assert percentiles([1.0, math.nan, 3.0, 2.0]) == {"p50": 2.0, "p95": pytest.approx(2.9)}
    assert all(math.isnan(value) for value in percentiles([math.nan]).values())


def test_sizes_are_those_of_the_files():
    counted = tally()
    for index in range(3):
        counted.add(frame(index, packet_bytes=400 + 100 * index))
    sizes = counted.sizes()
    first = frame(0).rgb
    assert sizes["packet"] == 500 and sizes["raw"] == 40 * 40 * 3
    assert sizes["png"] == len(cv2.imencode(".png", first)[1])
    assert sizes["jpeg_q90"] == len(cv2.imencode(".jpg", first, [cv2.IMWRITE_JPEG_QUALITY, 90])[1])


def test_sizes_of_a_grey_camera_are_those_of_its_message():
    counted = tally()
    grey = frame(0)
    grey.rgb, grey.image_bytes = np.repeat(np.arange(1600, dtype=np.uint8).reshape(40, 40, 1), 3, 2), 1600
    counted.add(grey)
    assert counted.sizes()["raw"] == 1600
    assert counted.sizes()["png"] == len(cv2.imencode(".png", np.ascontiguousarray(grey.rgb[..., 0]))[1])


def test_stages_and_the_rest_add_up_to_the_whole():
    counted = tally()
    for index in range(1, 4):
        counted.add(frame(index))
    latency = counted.latency_ms()
    assert latency[TOTAL]["p50"] == 24.0 and latency["edge: encoder"]["p50"] == 12.0
    assert latency[REST]["p50"] == 24.0 - 12.0 - 1.0


def test_an_unknown_transit_does_not_spoil_the_rest():
    counted = tally()
    counted.add(frame(0))
    assert math.isnan(counted.latency_ms()["transit"]["p50"])
    assert counted.latency_ms()[REST]["p50"] == 10.0


def test_rate_and_drops_are_those_of_the_last_report():
    counted = tally()
    for index in (0, 1, 4):
        counted.add(frame(index, lost=index, dropped=2))
    assert counted.rate_hz() == pytest.approx(2 / 0.4)
    assert counted.drops() == {"encoded": 5, "lost": 4, "dropped": 2, "rejected": 0}


def test_accuracy_of_a_perfect_and_of_a_half_wrong_prediction():
    perfect, wrong = tally(), tally()
    perfect.add(frame(0))
    wrong.add(frame(0, np.zeros((40, 40), np.uint8)))
    assert perfect.heads()["segmentation"]["value"] == pytest.approx(100)
    assert wrong.heads()["segmentation"]["value"] == pytest.approx(25)  # IoU 1/2 and 0
    assert perfect.heads()["presence"] == {"metric": "F1", "value": pytest.approx(100), "frames": 1}


def test_frames_without_truth_count_but_are_not_scored():
    counted = tally()
    blind = frame(0)
    blind.truth = None
    counted.add(blind)
    assert counted.frames == 1 and counted.heads()["segmentation"]["frames"] == 0
    assert math.isnan(counted.heads()["segmentation"]["value"])
    assert "mIoU -" in line(counted)


def test_the_line_names_every_figure():
    counted = tally()
    counted.add(frame(0))
    counted.add(frame(1))
    assert "2 frames, 10.0 Hz, 0.5 kB a frame, 9.6:1 raw" in line(counted)
    assert number(math.nan) == "-" and number(2.25, 1) in ("2.2", "2.3")
