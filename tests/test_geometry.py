# SPDX-License-Identifier: Apache-2.0
"""Geometry holds for every source size, and maps there and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frankensplit.errors import ImageError
from frankensplit.geometry import Geometry

SIZES = [
    (1, 1),
    (2, 3),
    (37, 53),
    (360, 480),
    (480, 640),
    (721, 403),
    (1080, 1920),
    (2160, 3840),
    (1, 640),
    (640, 1),
]
sides = st.integers(1, 65535)


def street(height: int, width: int) -> Geometry:
    return Geometry(height, width, 360, 480)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, shape, dtype=np.uint8)


def test_nominal_size_is_only_padded():
    geometry = street(360, 480)
    rgb = noise(360, 480, 3)
    padded = geometry.prepare(rgb)
    assert padded.shape == (384, 480, 3)
    np.testing.assert_array_equal(padded[:360], rgb)
    np.testing.assert_array_equal(padded[360:], np.broadcast_to(rgb[359], (24, 480, 3)))


@pytest.mark.parametrize(
    ("source", "scaled", "padded"),
    [
        ((480, 640), (360, 480), (384, 480)),
        ((2160, 3840), (270, 480), (288, 480)),
        ((640, 480), (360, 270), (384, 288)),
        ((1, 1), (360, 360), (384, 384)),
        ((37, 53), (335, 480), (352, 480)),
        ((1, 65535), (1, 480), (32, 480)),
    ],
)
def test_sizes_by_hand(source, scaled, padded):
    geometry = street(*source)
    assert (geometry.scaled_height, geometry.scaled_width) == scaled
    assert (geometry.padded_height, geometry.padded_width) == padded


@settings(max_examples=500, deadline=None)
@given(sides, sides, st.integers(1, 4096), st.integers(1, 4096), st.sampled_from([8, 32, 64]))
def test_any_size_fits_the_box_and_keeps_the_aspect_within_a_pixel(
    height, width, box_height, box_width, multiple
):
    geometry = Geometry(height, width, box_height, box_width, multiple)
    scale = min(box_height / height, box_width / width)
    assert abs(geometry.scaled_height - height * scale) <= 1
    assert abs(geometry.scaled_width - width * scale) <= 1
    assert 1 <= geometry.scaled_height <= box_height and 1 <= geometry.scaled_width <= box_width
    assert geometry.scaled_height == box_height or geometry.scaled_width == box_width
    for padded, inside in (
        (geometry.padded_height, geometry.scaled_height),
        (geometry.padded_width, geometry.scaled_width),
    ):
        assert padded % multiple == 0 and 0 <= padded - inside < multiple


@pytest.mark.parametrize("size", SIZES)
def test_prepare_is_what_the_network_takes(size):
    geometry = street(*size)
    prepared = geometry.prepare(np.full((*size, 3), (10, 20, 30), np.uint8))
    assert prepared.shape == (geometry.padded_height, geometry.padded_width, 3)
    assert prepared.flags.c_contiguous and prepared.dtype == np.uint8
    assert (prepared == (10, 20, 30)).all()


def test_shrinking_averages_areas():
    rgb = noise(720, 960, 3)
    mean = rgb.reshape(360, 2, 480, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(street(720, 960).prepare(rgb)[:360], mean, atol=0.5)


def test_growing_interpolates_between_neighbours():
    ramp = np.repeat(np.arange(0, 240, 2, dtype=np.uint8)[None, :, None], 90, axis=0).repeat(3, axis=2)
    grown = street(90, 120).prepare(ramp)[:360, 2:-2, 0].astype(float)
    expected = ((np.arange(480) + 0.5) / 4 - 0.5) * 2
    np.testing.assert_allclose(grown[0], expected[2:-2], atol=1)


def test_prepare_takes_views_and_leaves_them_alone():
    big = noise(400, 500, 3)
    view = big[10:370, 5:485]
    before = big.copy()
    np.testing.assert_array_equal(street(360, 480).prepare(view)[:360], before[10:370, 5:485])
    np.testing.assert_array_equal(big, before)


def test_what_needs_no_scaling_and_no_padding_is_not_copied():
    rgb = noise(384, 480, 3)
    assert np.shares_memory(Geometry(384, 480, 384, 480).prepare(rgb), rgb)


@pytest.mark.parametrize("size", [(480, 640), (720, 960), (1080, 1920), (403, 721)])
def test_shrinking_averages_the_area_below_each_pixel(size):
    """Against the integral of the picture: the mean over the source area that a pixel covers, fractions included."""
    geometry = street(*size)
    rgb = noise(*size, 3)
    rows, columns = (
        cumulated(side, scaled)
        for side, scaled in zip(size, (geometry.scaled_height, geometry.scaled_width), strict=True)
    )
    mean = np.einsum("ij,jkc,lk->ilc", rows, rgb.astype(float), columns, optimize=True)
    inside = geometry.prepare(rgb)[: geometry.scaled_height, : geometry.scaled_width]
    assert np.abs(inside - mean).max() < 2  # fixed point of the library


def cumulated(side, scaled):
    """The share of each source pixel in each scaled one, ``(scaled, side)``: lengths of overlaps over their sum."""
    edges = np.linspace(0, side, scaled + 1)
    low, high = edges[:-1, None], edges[1:, None]
    at = np.arange(side)[None]
    overlap = np.clip(np.minimum(high, at + 1) - np.maximum(low, at), 0, None)
    return overlap * scaled / side


@pytest.mark.parametrize("size", [*SIZES, (480, 640), (384, 480), (36, 37)])
def test_the_padding_repeats_the_edge(size):
    geometry = street(*size)
    padded = geometry.prepare(noise(*size, 3))
    rows = np.minimum(np.arange(geometry.padded_height), geometry.scaled_height - 1)
    columns = np.minimum(np.arange(geometry.padded_width), geometry.scaled_width - 1)
    np.testing.assert_array_equal(padded, padded[rows][:, columns])


@settings(max_examples=200, deadline=None)
@given(sides, sides)
def test_the_box_of_all_that_is_inside_is_the_whole_source(height, width):
    geometry = street(height, width)
    inside = [[0, 0, geometry.scaled_width, geometry.scaled_height]]
    np.testing.assert_allclose(geometry.boxes_to_source(inside), [[0, 0, width, height]], rtol=1e-6)


def test_boxes_are_scaled_and_clipped():
    geometry = street(480, 640)
    np.testing.assert_allclose(geometry.boxes_to_source([[-5, 12, 480, 384]]), [[0, 16, 640, 480]])
    assert geometry.boxes_to_source(np.zeros((0, 4))).shape == (0, 4)


@pytest.mark.parametrize("size", [size for size in SIZES if min(size) > 30])
def test_a_bright_square_is_found_where_its_box_says(size):
    height, width = size
    x0, x1, y0, y1 = width // 4, width // 2, height // 4, height // 2
    rgb = np.zeros((*size, 3), np.uint8)
    rgb[y0:y1, x0:x1] = 255
    geometry = street(*size)
    light = geometry.prepare(rgb)[: geometry.scaled_height, : geometry.scaled_width, 0] / 255
    lit = [np.flatnonzero(light.max(axis) > 0.5) for axis in (0, 1)]
    found = [lit[0][0], lit[1][0], lit[0][-1] + 1, lit[1][-1] + 1]
    pixel = max(height / geometry.scaled_height, width / geometry.scaled_width)
    np.testing.assert_allclose(geometry.boxes_to_source([found])[0], [x0, y0, x1, y1], atol=pixel)


@pytest.mark.parametrize("size", SIZES)
def test_mask_to_source_takes_the_value_under_each_pixel_centre(size):
    geometry = street(*size)
    mask = noise(geometry.padded_height, geometry.padded_width)
    rows = ((np.arange(size[0]) + 0.5) * geometry.scaled_height / size[0]).astype(int)
    columns = ((np.arange(size[1]) + 0.5) * geometry.scaled_width / size[1]).astype(int)
    found = geometry.mask_to_source(mask)
    assert found.shape == size
    # If a centre falls on the border of two values, either is right.
    assert (found == mask[np.ix_(rows, columns)]).mean() > 0.97


def test_a_mask_of_whole_blocks_becomes_one_pixel_a_block():
    mask = noise(90, 120)
    seen = np.zeros((384, 480), np.uint8)
    seen[:360] = mask.repeat(4, axis=0).repeat(4, axis=1)
    np.testing.assert_array_equal(street(90, 120).mask_to_source(seen), mask)


@pytest.mark.parametrize("size", [(0, 480), (360, 0), (-1, 5), (65536, 10)])
def test_sizes_out_of_range_are_named(size):
    with pytest.raises(ImageError, match=str(next(side for side in size if not 1 <= side <= 65535))):
        street(*size)


def test_foreign_arrays_are_refused():
    geometry = street(480, 640)
    with pytest.raises(ImageError, match=r"\(640, 480, 3\), expected \(480, 640, 3\)"):
        geometry.prepare(np.zeros((640, 480, 3), np.uint8))
    with pytest.raises(ImageError, match="float32"):
        geometry.prepare(np.zeros((480, 640, 3), np.float32))
    with pytest.raises(ImageError, match=r"expected \(384, 480\)"):
        geometry.mask_to_source(np.zeros((360, 480), np.uint8))
