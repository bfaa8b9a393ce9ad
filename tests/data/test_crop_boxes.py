# SPDX-License-Identifier: Apache-2.0
"""Boxes follow the picture through crops and flips."""

from __future__ import annotations

import numpy as np
import pytest

from frankensplit.data.augment import Crop, draw_crop
from frankensplit.data.truth import Boxes, Truth

FRAME = (100, 200)
VOID = 255


def _boxes(*corners):
    return Boxes.of(corners, range(len(corners)), FRAME)


def test_a_window_scaled_by_hand():
    crop = Crop(FRAME, (100, 160), top=20, left=40, window=(50, 80), flipped=False)  # twice as large
    found = crop.boxes(_boxes((50, 30, 60, 50)))
    assert found.corners.tolist() == [[20, 20, 40, 60]]
    assert found.frame == (100, 160) and found.class_ids.tolist() == [0]
    assert found.corners.dtype == np.float32 and found.class_ids.dtype == np.int64


def test_flipped_boxes_are_mirrored():
    crop = Crop(FRAME, (50, 80), top=20, left=40, window=(50, 80), flipped=True)
    assert crop.boxes(_boxes((50, 30, 60, 50))).corners.tolist() == [[60, 10, 70, 30]]


def test_boxes_are_clipped_and_left_out_below_a_quarter():
    crop = Crop(FRAME, (50, 80), top=0, left=40, window=(50, 80), flipped=False)
    half, quarter, less, outside = (30, 0, 50, 10), (25, 10, 45, 20), (24, 10, 44, 20), (150, 60, 160, 70)
    found = crop.boxes(_boxes(half, quarter, less, outside))
    assert found.corners.tolist() == [[0, 0, 10, 10], [0, 10, 5, 20]]
    assert found.class_ids.tolist() == [0, 1]


def test_no_boxes_stay_none():
    found = Crop(FRAME, (50, 80), 0, 0, (50, 80), True).boxes(_boxes())
    assert found.corners.shape == (0, 4) and found.class_ids.shape == (0,)


@pytest.mark.parametrize("seed", range(8))
def test_boxes_are_where_the_mask_is(seed):
    mask = np.zeros(FRAME, np.uint8)
    mask[30:70, 80:120] = 1
    crop = draw_crop(FRAME, (64, 96), (0.7, 2.0), np.random.default_rng(seed))
    truth = crop.truth(Truth(mask, _boxes((80, 30, 120, 70)), 5), VOID)
    rows, columns = np.nonzero(truth.mask == 1)
    seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] if len(rows) else None
    assert truth.label == 5
    if len(truth.boxes.corners):
        np.testing.assert_allclose(truth.boxes.corners[0], seen, atol=1.5)
    else:
        assert len(rows) < 0.27 * 1600 * (64 * 96) / (crop.window[0] * crop.window[1])
