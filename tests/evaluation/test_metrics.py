# SPDX-License-Identifier: Apache-2.0
"""Metrics, intervals and curves whose truth is known by hand."""

from __future__ import annotations

import numpy as np
import pytest

from frankensplit.evaluation.bootstrap import block_frames, draws, loss_interval
from frankensplit.evaluation.curves import bd_rate_percent, bytes_at_loss
from frankensplit.evaluation.lower_bound import prediction_bytes
from frankensplit.evaluation.metrics import metric_for
from frankensplit.results import BoxesResult, ClassesResult, MaskResult

LABELS = {"classes": ["a", "b", "c"], "ignore": 11}


def _boxes(boxes, ids, scores):
    return BoxesResult(
        np.array(boxes, np.float32).reshape(-1, 4), np.array(ids, np.int64), np.array(scores, np.float32)
    )


def _value(metric, *pairs):
    return metric.value([metric.frame(result, truth) for result, truth in pairs])


def test_miou_by_hand():
    metric = metric_for("mask", LABELS)
    truth = np.array([[0, 0, 1, 1], [2, 2, 11, 11]], np.uint8)
    found = np.array([[0, 1, 1, 1], [2, 2, 0, 1]], np.uint8)  # what void covers does not count
    frames = [metric.frame(MaskResult(found), MaskResult(truth))]
    assert metric.details(frames)["per_class"] == {"a": 50.0, "b": 66.67, "c": 100.0}
    assert metric.value(frames) == pytest.approx((50 + 200 / 3 + 100) / 3)


def test_miou_leaves_out_a_class_that_never_occurs():
    metric = metric_for("mask", LABELS)
    mask = MaskResult(np.array([[0, 1]], np.uint8))
    frames = [metric.frame(mask, mask)]
    assert metric.value(frames) == 100 and metric.details(frames)["per_class"]["c"] is None


def test_ap50_by_hand():
    metric = metric_for("boxes", LABELS)
    truth = _boxes([[0, 0, 10, 10], [20, 20, 40, 40]], [0, 0], [1, 1])
    assert _value(metric, (truth, truth)) == pytest.approx(100)
    half = (_boxes([[0, 0, 10, 10]], [0], [0.9]), truth)
    assert _value(metric, half) == pytest.approx(100 * 51 / 101)  # recall 0.5 on COCO's grid of 101
    nothing = _boxes([], [], [])
    assert _value(metric, (nothing, truth)) == _value(metric, (nothing, nothing)) == 0


def test_resampled_ap50_is_that_of_the_frames_drawn():
    rng = np.random.default_rng(1)
    metric = metric_for("boxes", LABELS)

    def frame():
        truth = rng.uniform(0, 60, (4, 2)).repeat(2, 0).reshape(4, 4) + np.array([0, 0, 20, 20])
        found = np.concatenate((truth + rng.normal(0, 3, truth.shape), truth + 40, truth + 1))
        ids = rng.integers(0, 3, 4)
        result = _boxes(found, np.tile(ids, 3), rng.uniform(0, 1, 12))
        return metric.frame(result, _boxes(truth, ids, np.ones(4)))

    frames = [frame() for _ in range(8)]
    for counts in (np.ones(8, np.int64), np.array([0, 2, 1, 0, 3, 1, 1, 0])):
        drawn = [one for one, count in zip(frames, counts, strict=True) for _ in range(count)]
        # torchmetrics' grid of recalls is rounded to float32, which moves a figure a little
        assert metric.resampled(frames, counts[None])[0] == pytest.approx(metric.value(drawn), abs=0.02)
    assert metric.details(frames)["mAP"] < metric.value(frames)


def test_f1_by_hand():
    metric = metric_for("classes", LABELS)
    found = ClassesResult(np.array([0.9, 0.4, 0.6], np.float32), 0.5)
    truth = ClassesResult(np.array([1, 1, 0], np.float32), 0.5)
    assert _value(metric, (found, truth)) == pytest.approx(50)


def test_exclusive_classes_are_measured_by_top1():
    metric = metric_for("classes", {"classes": ["a", "b"], "exclusive": True})
    a, b = (ClassesResult(np.array(scores, np.float32), 0.5) for scores in ([0.4, 0.3], [0.1, 0.2]))
    assert metric.name == "top-1" and _value(metric, (a, a), (a, b), (b, b), (b, b)) == 75


def _hits(rng, frames, share):
    return [{"hit": np.array(hit)} for hit in rng.uniform(size=frames) < share]


def test_interval_covers_a_planted_loss():
    metric = metric_for("classes", {"classes": ["a", "b"], "exclusive": True})
    rng, covered, above_zero = np.random.default_rng(0), 0, 0
    for _ in range(100):
        unmodified = _hits(rng, 400, 0.9)
        coded = [{"hit": one["hit"] & (rng.uniform() < 0.95)} for one in unmodified]  # loses 4.5 points
        low, high = loss_interval(metric, unmodified, coded)
        covered += low <= 4.5 <= high
        above_zero += low > 0
    assert 85 <= covered <= 100 and above_zero > 90


def test_interval_is_paired_and_zero_for_equal_codecs():
    metric = metric_for("classes", {"classes": ["a", "b"], "exclusive": True})
    frames = _hits(np.random.default_rng(3), 100, 0.5)
    assert loss_interval(metric, frames, frames) == (0, 0)


def test_neighbours_are_drawn_together():
    assert [block_frames(frames) for frames in (5, 40, 101, 5000)] == [1, 4, 10, 10]
    counts = draws(101)
    assert (counts.sum(1) == 101).all()
    together = np.corrcoef(counts[:, 50], counts[:, 51])[0, 1]
    apart = np.corrcoef(counts[:, 50], counts[:, 75])[0, 1]
    assert together > 0.8 > 0.2 > apart


def _curve(codec, points):
    return [
        {"codec": codec, "bytes_per_frame": size, "value": value, "loss_points": 60 - value}
        for size, value in points
    ]


def test_bytes_at_loss_interpolates_and_does_not_guess():
    rows = _curve("jpeg", ((1000, 56.0), (4000, 60.0)))
    assert bytes_at_loss(rows, 2.0) == pytest.approx(2000)
    assert bytes_at_loss(rows, 5.0) == 1000  # its cheapest setting is good enough
    assert bytes_at_loss(rows, -1.0) is None
    noisy = [*rows, *_curve("jpeg", ((8000, 57.0),))]
    assert bytes_at_loss(noisy, 2.0) == pytest.approx(2000)  # a worse setting above does not count
    assert bytes_at_loss([], 2.0) is None


def test_bd_rate_of_half_the_bytes():
    anchor = _curve("a", [(1000 * 2**i, 40 + 5 * i) for i in range(5)])
    half = _curve("b", [(500 * 2**i, 40 + 5 * i) for i in range(5)])
    assert bd_rate_percent(anchor, half) == pytest.approx(-50)
    assert bd_rate_percent(half, anchor) == pytest.approx(100)
    assert bd_rate_percent(anchor, half[:3]) is None  # no curve
    better = _curve("c", [(500 * 2**i, 80 + i) for i in range(5)])
    assert bd_rate_percent(anchor, better) is None  # no value in common
    dented = [*half, *_curve("b", [(3000, 41.0)])]
    assert bd_rate_percent(anchor, dented) == pytest.approx(-50)  # a wasteful setting is nobody's choice


def test_predictions_themselves_are_small():
    mask = np.zeros((360, 480), np.uint8)
    mask[100:200, 50:90] = 7
    assert prediction_bytes(MaskResult(mask), 0) < 500
    assert prediction_bytes(_boxes([[0, 0, 1, 1]] * 3, [0] * 3, [0.9, 0.5, 0.1]), 0.3) == 20
    assert prediction_bytes(ClassesResult(np.zeros(11, np.float32), 0.5), 0.5) == 2
