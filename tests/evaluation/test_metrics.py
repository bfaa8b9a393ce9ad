# SPDX-License-Identifier: Apache-2.0
"""Metrics whose truth is known by hand."""

from __future__ import annotations

import numpy as np
import pytest

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


def test_jpeg_counts_real_bytes_and_quality_orders_them():
    rng = np.random.default_rng(0)
    rgb = np.repeat(np.repeat(rng.integers(0, 256, (12, 16, 3), np.uint8), 8, 0), 8, 1)
    jpeg = load_rival("jpeg")
    low, high = jpeg.code(rgb, 10), jpeg.code(rgb, 90)
    assert low[0] < high[0] and low[1].shape == rgb.shape
    assert np.abs(high[1].astype(int) - rgb).mean() < np.abs(low[1].astype(int) - rgb).mean()
    assert np.corrcoef(high[1][:, :, 0].ravel(), rgb[:, :, 0].ravel())[0, 1] > 0.9  # red stayed red


def test_rivals_are_found_by_their_files():
    assert "jpeg" in rival_names()


def test_bytes_at_loss_interpolates_and_does_not_guess():
    rows = [{"codec": "jpeg", "bytes_per_frame": b, "loss_points": p} for b, p in ((1000, 4.0), (4000, 0.0))]
    assert bytes_at_loss(rows, "jpeg", 2.0) == pytest.approx(2000)
    assert bytes_at_loss(rows, "jpeg", 5.0) is None
    assert bytes_at_loss(rows, "webp", 2.0) is None
