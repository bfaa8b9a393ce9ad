# SPDX-License-Identifier: Apache-2.0
"""Few frames of many: evenly spaced, prepared, and never all held at once."""

from __future__ import annotations

import numpy as np
import pytest

from frankensplit.training.data import sample as module
from frankensplit.training.data.sample import sample, spread, thinned
from frankensplit.training.recipe import RecipeSource


@pytest.mark.parametrize("count", [1, 7, 8, 15, 16, 17, 100, 1000])
def test_thinned_items_lie_evenly_over_all(count):
    kept = thinned(iter(range(count)), 8)
    assert len(kept) == min(count, 8)
    assert kept == sorted(set(kept)) and kept[0] == 0
    gaps = np.diff([*kept, count])
    assert gaps.max() <= 4 * gaps.min()


def test_no_more_than_twice_as_many_are_held():
    class Counted:
        alive = most = 0

        def __init__(self):
            Counted.alive += 1
            Counted.most = max(Counted.most, Counted.alive)

        def __del__(self):
            Counted.alive -= 1

    assert len(thinned((Counted() for _ in range(1000)), 10)) == 10
    assert Counted.most <= 2 * 10 + 1


def test_spread_gives_all_where_there_are_fewer():
    assert spread([1, 2, 3], 5) == [1, 2, 3]
    assert spread(list(range(10)), 5) == [0, 2, 4, 6, 8]


def test_frames_are_scaled_and_padded_and_the_street_ends_somewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "STREET_FRAMES", 3)
    frames = sample([RecipeSource(data="street:train", frames=200)], (90, 120), tmp_path, 100)
    assert [frame.shape for frame in frames] == [(96, 128, 3)] * 3
    assert frames[0].dtype == np.uint8
