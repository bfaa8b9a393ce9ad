# SPDX-License-Identifier: Apache-2.0
"""Metrics whose truth is known by hand."""

from __future__ import annotations

import numpy as np
import pytest

from frankensplit.data.street import Street
from frankensplit.errors import DataError
from frankensplit.evaluation.evaluate import bytes_at_loss
from frankensplit.evaluation.metrics import metric_for
from frankensplit.evaluation.rivals import load_rival, rival_names
from frankensplit.results import BoxesResult, ClassesResult, MaskResult

LABELS = {"classes": ["a", "b", "c"], "ignore": 11}


def _boxes(boxes, ids, scores):
    return BoxesResult(
        np.array(boxes, np.float32).reshape(-1, 4), np.array(ids, np.int64), np.array(scores, np.float32)
    )


def test_miou_by_hand():
    metric = metric_for("mask", LABELS)
    truth = np.array([[0, 0, 1, 1], [2, 2, 11, 11]], np.uint8)
    found = np.array([[0, 1, 1, 1], [2, 2, 0, 1]], np.uint8)  # what void covers does not count
    metric.update(MaskResult(found), MaskResult(truth))
    assert metric.per_class() == pytest.approx([50.0, 100 * 2 / 3, 100.0])
    assert metric.value() == pytest.approx((50 + 200 / 3 + 100) / 3)


def test_ap50_by_hand():
    metric = metric_for("boxes", LABELS)
    truth = _boxes([[0, 0, 10, 10], [20, 20, 40, 40]], [0, 0], [1, 1])
    metric.update(truth, truth)
    assert metric.value() == pytest.approx(100)
    half = metric_for("boxes", LABELS)
    half.update(_boxes([[0, 0, 10, 10]], [0], [0.9]), truth)
    assert half.value() == pytest.approx(100 * 51 / 101)  # recall 0.5 on COCO's grid of 101


def test_f1_by_hand():
    metric = metric_for("classes", LABELS)
    scores = np.array([0.9, 0.4, 0.6], np.float32)
    metric.update(ClassesResult(scores, 0.5), ClassesResult(np.array([1, 1, 0], np.float32), 0.5))
    assert metric.value() == pytest.approx(50)


@pytest.mark.parametrize("size", [(96, 128), (95, 127)])
@pytest.mark.parametrize("name", rival_names())
def test_rival_trades_bytes_for_errors_and_keeps_colors(name, size):
    rgb = np.ascontiguousarray(Street(2).frame(5).rgb[100:, 100:][: size[0], : size[1]])
    rival = load_rival(name)
    coded = [rival.code(rgb, quality) for quality in rival.QUALITIES]
    assert all(decoded.shape == rgb.shape and decoded.dtype == np.uint8 for _, decoded in coded)
    sizes = [payload_bytes for payload_bytes, _ in coded]
    errors = [np.abs(decoded.astype(int) - rgb).mean() for _, decoded in coded]
    assert sizes == sorted(sizes) and errors[-1] < errors[0]
    for channel in range(3):
        best = coded[-1][1][:, :, channel].ravel()
        assert np.corrcoef(best, rgb[:, :, channel].ravel())[0, 1] > 0.95


def test_h264_packet_decodes_alone_and_holds_no_note():
    code = load_rival("h264-intra").code
    rgb = Street(2, 96, 128).frame(5).rgb
    assert code(rgb, 28)[0] == code(rgb, 28)[0] < 6000
    assert code(np.zeros_like(rgb), 40)[0] < 200  # x264's note about itself alone is longer


def test_unknown_rival_is_named():
    with pytest.raises(DataError, match=r"gif.*jpeg"):
        load_rival("gif")


def test_bytes_at_loss_interpolates_and_does_not_guess():
    rows = [{"codec": "jpeg", "bytes_per_frame": b, "loss_points": p} for b, p in ((1000, 4.0), (4000, 0.0))]
    assert bytes_at_loss(rows, "jpeg", 2.0) == pytest.approx(2000)
    assert bytes_at_loss(rows, "jpeg", 5.0) == 1000  # its cheapest setting is good enough
    assert bytes_at_loss(rows, "jpeg", -1.0) is None
    noisy = [*rows, {"codec": "jpeg", "bytes_per_frame": 8000, "loss_points": 3.0}]
    assert bytes_at_loss(noisy, "jpeg", 2.0) == pytest.approx(2000)  # a worse setting above does not count
    assert bytes_at_loss(rows, "webp", 2.0) is None
