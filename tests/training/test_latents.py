# SPDX-License-Identifier: Apache-2.0
"""Which channels of a recipe's latents carry something."""

from __future__ import annotations

import numpy as np

from frankensplit.training.export.latents import FINE, Latents


def latent(**values: float):
    """A latent of four channels, 0 but for one symbol of some: ``c1=2.0`` is a 2 in channel 1."""
    made = np.zeros((4, 3, 5), np.int32)
    for channel, value in values.items():
        made[int(channel[1:]), 1, 2] = round(FINE * value)
    return made


def test_a_channel_lives_by_one_symbol_of_one_frame_held_out_or_not():
    latents = Latents([latent(c1=-0.6), latent(c2=0.49)], [latent(), latent(c3=7)])
    assert latents.live() == [1, 3]


def test_frames_may_differ_in_size():
    assert Latents([latent(c0=1), np.zeros((4, 7, 2), np.int32)], [latent()]).live() == [0]


def test_one_channel_is_left_of_a_latent_without_any():
    assert Latents([latent()], [latent()]).live() == [0]


def test_some_channels_are_those_symbols():
    latents = Latents([latent(c1=2, c3=4)], [latent(c3=6)]).of([3])
    training, held_out = latents.rounded(2.0)
    assert training[0].shape == (1, 3, 5)
    assert (training[0].max(), held_out[0].max()) == (2, 3)
