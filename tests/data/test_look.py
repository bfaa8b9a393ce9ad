# SPDX-License-Identifier: Apache-2.0
"""Random looks of a picture: each effect does what it says, and all follow from the generator."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest

from frankensplit.data.look import Look, random_look

EFFECTS = ("light", "hue", "grey", "blur", "noise", "jpeg")


class Fixed:
    """A generator that gives the upper end of each range, and always hits."""

    def uniform(self, low, high):
        return high

    def integers(self, low, high=None, endpoint=False):
        return low

    def random(self):
        return 0.0


def _flat(*color):
    return np.full((16, 24, 3), color, np.uint8)


def _edge():
    picture = _flat(20, 20, 20)
    picture[:, 12:] = 220
    return picture


@pytest.fixture
def noisy():
    return np.random.default_rng(0).integers(0, 256, (32, 40, 3), np.uint8)


def test_no_look_is_the_picture_itself(noisy):
    assert np.array_equal(random_look(noisy, Look(), np.random.default_rng(0)), noisy)


def test_light_by_hand():
    # brightness 100 * 1.5 = 150; contrast and saturation leave an even grey as it is
    assert (random_look(_flat(100, 100, 100), Look(light=0.5), Fixed()) == 150).all()
    # 20 and 220 become 30 and 255, of mean 142; contrast: 1.5 * 30 - 71 < 0, 1.5 * 255 - 71 > 255
    low, high = (random_look(_edge(), Look(light=0.5), Fixed())[0, x, 0] for x in (0, -1))
    assert low == 0 and high == 255


def test_hue_turns_the_circle():
    red, green, blue = (value / 255 for value in (200, 40, 40))
    hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
    expected = [255 * one for one in colorsys.hsv_to_rgb(hue + 0.25, saturation, value)]
    assert np.abs(random_look(_flat(200, 40, 40), Look(hue=0.25), Fixed()) - expected).max() <= 1.5


def test_grey_is_the_luma():
    grey = random_look(_flat(200, 100, 50), Look(grey=1), Fixed())
    assert np.abs(grey - (0.299 * 200 + 0.587 * 100 + 0.114 * 50)).max() <= 1
    assert (grey == grey[..., :1]).all()


def test_blur_spreads_an_edge_and_keeps_flat_parts():
    blurred = random_look(_edge(), Look(blur=1), np.random.default_rng(0))[8, :, 0].astype(int)
    assert (np.diff(blurred) >= 0).all() and 20 < blurred[11] < 120 < blurred[12] < 220
    assert (blurred[:8] == 20).all() and (blurred[16:] == 220).all()


def test_noise_has_the_deviation_that_was_drawn():
    flat = np.full((128, 128, 3), 128, np.uint8)
    found = random_look(flat, Look(noise=1), Fixed()).astype(float)
    assert found.std() == pytest.approx(10, rel=0.03) and found.mean() == pytest.approx(128, abs=0.3)


def test_jpeg_keeps_colours_and_loses_detail(noisy):
    assert (
        np.abs(random_look(_flat(200, 100, 50), Look(jpeg=1), Fixed()).astype(int) - [200, 100, 50]).max() < 6
    )
    assert np.abs(random_look(noisy, Look(jpeg=1), Fixed()).astype(int) - noisy).mean() > 10


@pytest.mark.parametrize("effect", EFFECTS)
def test_the_generator_decides_all(noisy, effect):
    look = Look(**{effect: 0.5})
    first, again = (
        [random_look(noisy, look, np.random.default_rng(seed)) for seed in range(8)] for _ in range(2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert len({picture.tobytes() for picture in first}) > 1
    assert all(picture.dtype == np.uint8 and picture.shape == noisy.shape for picture in first)


def test_shares_are_kept(noisy):
    changed = [
        not np.array_equal(random_look(noisy, Look(grey=0.3), np.random.default_rng(seed)), noisy)
        for seed in range(300)
    ]
    assert np.mean(changed) == pytest.approx(0.3, abs=0.08)
