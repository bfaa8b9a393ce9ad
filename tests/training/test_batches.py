# SPDX-License-Identifier: Apache-2.0
"""Batches are the same however many processes share them, and say what is in them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from frankensplit.errors import RecipeError
from frankensplit.training.data.batches import Batches, Shot
from frankensplit.training.recipe import Crops


def _plain(value: int) -> Shot:
    """A frame of one grey, named after it."""
    return Shot(np.full((48, 64, 3), value, np.uint8), key=f"grey{value}")


def _batches(batch=4):
    crops = Crops(size=(32, 32), light=0.0)
    return Batches(
        [[_plain(10 * i) for i in range(20)], [_plain(205)]], [1, 1], crops, {}, seed=3, batch=batch, steps=3
    )


def test_processes_share_a_batch_without_changing_it():
    batches = _batches()
    whole = [batches[step]["image"] for step in range(3)]
    for rank in (0, 1):
        parts = [part["image"] for part in batches.loader(1, rank, 2)]
        assert len(parts) == 2
        assert all(torch.equal(part, all_[rank::2]) for part, all_ in zip(parts, whole[1:], strict=True))


def test_the_other_process_shares_the_pictures_whatever_python_starts_by_itself():
    loader = _batches().loader(0)
    assert loader.multiprocessing_context.get_start_method() == "fork"


def test_uneven_share_is_refused():
    with pytest.raises(RecipeError, match=r"schedule\.batch is 4, expected a multiple of the 3 processes"):
        _batches().loader(0, 0, 3)


def test_describe_names_the_frames_of_a_batch():
    batches = _batches()
    greys = [f"grey{int(image.flatten()[0])}" for image in batches[2]["image"]]
    assert len(set(greys)) > 1
    assert batches.describe(2) == ", ".join(greys)
    assert batches.describe(2, 1, 2) == ", ".join(greys[1::2])


def test_steps_and_places_differ():
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    crops = Crops(size=(32, 32), light=0.5)
    batches = Batches([[Shot(picture)]], [1], crops, {}, seed=3, batch=4, steps=3)
    images = torch.cat([batches[step]["image"] for step in range(2)])
    assert len({image.numpy().tobytes() for image in images}) == len(images)
