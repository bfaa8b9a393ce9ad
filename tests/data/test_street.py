# SPDX-License-Identifier: Apache-2.0
"""The synthetic street: pure frames, exact classes, motion that makes sense."""

from __future__ import annotations

import numpy as np
import pytest

from frankensplit.data.street import CLASSES, Street
from frankensplit.data.street.canvas import Camera
from frankensplit.data.street.classes import BUILDING, CAR, ROAD, SKY

SEEDS = range(12)


@pytest.fixture(scope="module")
def frames():
    return [Street(seed, 180, 240).frame(30 * seed) for seed in SEEDS]


def test_a_frame_depends_on_seed_and_index_alone():
    street = Street(3, 120, 160)
    for index in (0, 7, 90):
        street.frame(index)
    late, fresh = street.frame(7), Street(3, 120, 160).frame(7)
    np.testing.assert_array_equal(late.rgb, fresh.rgb)
    np.testing.assert_array_equal(late.mask, fresh.mask)


def test_seeds_and_indices_differ():
    first = Street(0, 120, 160).frame(0)
    assert (Street(1, 120, 160).frame(0).mask != first.mask).mean() > 0.05
    assert (Street(0, 120, 160).frame(20).mask != first.mask).mean() > 0.01


@pytest.mark.parametrize("index", [-1000, -1, 10**6])
def test_any_index_can_be_drawn(index):
    frame = Street(5, 120, 160).frame(index)
    assert (frame.mask == ROAD).mean() > 0.1


@pytest.mark.parametrize(("height", "width"), [(360, 480), (240, 424), (97, 131), (64, 200)])
def test_any_size_can_be_drawn(height, width):
    frame = Street(2, height, width).frame(4)
    assert frame.rgb.shape == (height, width, 3) and frame.rgb.dtype == np.uint8
    assert frame.mask.shape == (height, width) and frame.mask.dtype == np.uint8
    assert frame.rgb.flags.c_contiguous and frame.mask.flags.c_contiguous


def test_every_class_occurs_and_no_other(frames):
    seen = set(np.unique(np.stack([frame.mask for frame in frames])).tolist())
    assert seen == set(range(len(CLASSES)))


def test_class_shares_are_those_of_a_street(frames):
    masks = np.stack([frame.mask for frame in frames])
    share = np.bincount(masks.ravel(), minlength=len(CLASSES)) / masks.size
    low = np.array([0.10, 0.12, 0.005, 0.22, 0.015, 0.05, 0.003, 0.003, 0.02, 0.003, 0.002])
    high = np.array([0.28, 0.35, 0.04, 0.42, 0.10, 0.22, 0.03, 0.05, 0.15, 0.03, 0.04])
    assert (share > low).all() and (share < high).all(), dict(
        zip(CLASSES, share.round(4).tolist(), strict=True)
    )


def test_sky_is_above_and_road_below(frames):
    for frame in frames:
        rows = np.arange(frame.mask.shape[0])
        center = [
            (rows * (frame.mask == label).sum(axis=1)).sum() / (frame.mask == label).sum()
            for label in (SKY, ROAD)
        ]
        assert center[0] < 60 < 110 < center[1]


def test_classes_follow_the_edges_of_the_picture():
    """The picture changes more where the class changes than elsewhere, and most at a shift of nought."""
    frame = Street(11, 360, 480).frame(0)
    grey = frame.rgb.astype(float).mean(axis=2)
    strength = np.abs(np.diff(grey, axis=1))
    edges = np.diff(frame.mask.astype(int), axis=1) != 0

    def contrast(shift: int) -> float:
        return float(strength[np.roll(edges, shift, axis=1)].mean())

    assert contrast(0) > 2 * strength[~edges].mean()
    assert contrast(0) > max(contrast(-3), contrast(3))


def test_a_point_keeps_its_place_as_the_camera_drives():
    """Move the camera two metres ahead: a point 20 m away is then seen at 18 m, where pinholes put it."""
    point = np.array([[3.0, 1.0, 20.0]])
    for z, depth in ((0.0, 20.0), (2.0, 18.0)):
        camera = Camera(x=0.0, y=1.5, z=z, yaw=0.0, focal=900.0, center=480.0, horizon=350.0)
        uv, seen = camera.project(point)
        assert seen[0] == pytest.approx(depth)
        assert uv[0] == pytest.approx((480 + 900 * 3 / depth, 350 + 900 * 0.5 / depth))


def test_a_house_corner_moves_as_the_camera_drives():
    """The outline of the houses grows about the vanishing point by what the camera's way predicts."""
    street = Street(16, 360, 480)
    ahead = [street._scene(index) for index in (0, 10)]
    house = next(
        lot.house
        for lot in street.world.section(1).lots
        if lot.house is not None and lot.house.front.start - ahead[1].camera.z > 8
    )
    corner = np.array([[house.front.across, house.front.height, house.front.start]])
    (before, _), (after, _) = (scene.project(corner) for scene in ahead)
    assert abs(after[0, 0] - 480) > abs(before[0, 0] - 480) + 5
    for index, uv in ((0, before[0]), (10, after[0])):
        x, y = (uv / 2).astype(int)
        mask = street.frame(index).mask
        window = mask[max(0, y - 4) : y + 5, max(0, x - 4) : x + 5]
        assert BUILDING in window


def test_neighbouring_frames_are_alike_and_distant_ones_are_not():
    street = Street(8, 180, 240)
    start = street.frame(0).mask
    near, far = (float((street.frame(index).mask != start).mean()) for index in (1, 60))
    assert 0 < near < 0.12 < far


def test_frame_rate_scales_motion():
    slow, fast = Street(8, 180, 240, fps=30), Street(8, 180, 240, fps=15)
    np.testing.assert_array_equal(slow.frame(20).mask, fast.frame(10).mask)


def test_cars_are_solid(frames):
    """No pixel of another class lies alone inside a car."""
    for frame in frames:
        car = frame.mask == CAR
        inside = car[:-2, 1:-1] & car[2:, 1:-1] & car[1:-1, :-2] & car[1:-1, 2:]
        holes = inside & (frame.mask[1:-1, 1:-1] == BUILDING)
        assert holes.sum() <= 3
