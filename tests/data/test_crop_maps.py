# SPDX-License-Identifier: Apache-2.0
"""Random crops: picture, mask and map show the same part of the frame."""

from __future__ import annotations

import numpy as np
import pytest

from frankensplit.data.augment import Crop, draw_crop

FRAME = (120, 160)
STRIDE = 8
VOID = 255


def ramps() -> np.ndarray:
    """A picture that says where each of its pixels lies: y in the first channel, x in the second."""
    y, x = np.mgrid[: FRAME[0], : FRAME[1]]
    return np.stack([y, x, np.zeros_like(x)], axis=2).astype(np.uint8)


def place_maps() -> tuple[np.ndarray, np.ndarray]:
    """Maps of cells that say where the centre of each lies in the frame: y and x."""
    y, x = np.mgrid[: FRAME[0] // STRIDE, : FRAME[1] // STRIDE]
    return tuple(((a + 0.5) * STRIDE - 0.5).astype(np.float32) for a in (y, x))


def cell_means(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[0] // STRIDE, picture.shape[1] // STRIDE
    return picture.astype(np.float32).reshape(height, STRIDE, width, STRIDE, 3).mean((1, 3))


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("size", [(64, 96), (96, 64)])
def test_map_shows_what_the_picture_shows(seed, size):
    crop = draw_crop(FRAME, size, (0.9, 1.8), np.random.default_rng(seed))
    seen = cell_means(crop.picture(ramps()))
    inner = (slice(1, -1), slice(1, -1))  # the frame's own edge cells have no neighbour to interpolate with
    for channel, values in enumerate(place_maps()):
        mapped = crop.map(values, STRIDE)
        assert mapped.shape == (size[0] // STRIDE, size[1] // STRIDE) and mapped.dtype == np.float32
        assert np.abs(mapped - seen[..., channel])[inner].max() < 0.6  # pixels; a cell is 8


def test_flip_mirrors_the_map():
    values = np.random.default_rng(0).random((15, 20), np.float32)
    plain, flipped = (
        Crop(FRAME, FRAME, 0, 0, FRAME, flipped).map(values, STRIDE) for flipped in (False, True)
    )
    assert np.array_equal(plain, values)
    assert np.array_equal(flipped, values[:, ::-1])


def test_double_size_interpolates_halfway():
    values = np.array([[0.0, 1.0]], np.float32)
    crop = Crop((8, 16), (16, 32), 0, 0, (8, 16), False)
    assert np.allclose(crop.map(values, STRIDE), [[0, 0.25, 0.75, 1]] * 2)


def test_map_of_a_padded_frame_is_cropped_by_the_frame():
    """Rows of the map that cover padding below the frame are left out."""
    values = place_maps()[0]
    padded = np.concatenate([values, np.full((3, values.shape[1]), 999, np.float32)])
    crop = Crop(FRAME, (96, 96), 24, 16, (96, 96), False)
    expected = crop.map(values, STRIDE)
    assert np.array_equal(crop.map(padded, STRIDE, (15.0, 20.0)), expected)
    assert not np.array_equal(crop.map(padded, STRIDE), expected)


def test_beyond_the_frame_picture_repeats_mask_is_void_and_map_is_zero():
    crop = Crop(FRAME, (160, 160), 0, 0, (160, 160), False)
    ones = np.ones((15, 20), np.float32)
    assert np.array_equal(crop.picture(ramps())[120:], np.repeat(crop.picture(ramps())[119:120], 40, axis=0))
    assert (crop.mask(np.zeros(FRAME, np.uint8), VOID)[120:] == VOID).all()
    assert np.array_equal(crop.map(ones, STRIDE).any(axis=1), np.arange(20) < 15)
