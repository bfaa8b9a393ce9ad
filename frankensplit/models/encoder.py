# SPDX-License-Identifier: Apache-2.0
"""The robot's only network, stride 8: three down-sampling residual blocks (paper 5.3.3, Table 6), or "nano" without."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from frankensplit.models.normalisation import IMAGENET

WIDTHS = (48, 64)
CHANNELS = {
    "s": 48,
    "m": 96,
    "l": 128,
    "nano": 48,
}  # channels of the latent; S, M and L differ in nothing else
STRIDE = 8
normalise = IMAGENET  # for the encoder's input; a backbone has its own


class Skip(nn.Conv2d):
    """A 1x1 convolution of stride 2."""

    def forward(self, x: Tensor) -> Tensor:
        """Stride by slicing: torch's bfloat16 kernel for it overruns its memory (3 channels, CPU)."""
        return F.conv2d(x[:, :, ::2, ::2], self.weight, self.bias)


class DownBlock(nn.Module):
    """Two 3x3 convolutions and a 1x1 skip, half the resolution.

    ``act_between`` puts a ReLU after both convolutions, as the paper's text says; without it only the second has one,
    as in the published code. ``middle`` is the width between the two; None: that of the outputs.
    """

    def __init__(
        self, inputs: int, outputs: int, act_between: bool = True, middle: int | None = None
    ) -> None:
        super().__init__()
        middle = middle or outputs
        self.conv1 = nn.Conv2d(inputs, middle, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(middle, outputs, 3, padding=1)
        self.skip = Skip(inputs, outputs, 1, stride=2)
        self.act_between = act_between

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, inputs, H, W)`` to ``(N, outputs, H/2, W/2)``."""
        y = self.conv1(x)
        y = torch.relu(y) if self.act_between else y
        skip: Tensor = self.skip(x)
        return torch.relu(self.conv2(y)) + skip


class Encoder(nn.Module):
    """Image to latent. Parameters: S 141,696, M 234,768, L 319,856, nano 77,536.

    Args:
        size: ``s``, ``m`` or ``l``; or ``nano``, for robots without a GPU: four 3x3 convolutions, a quarter of S's
            multiply-accumulates.
        act_between: ReLU after the first convolution of each block (see :class:`DownBlock`); nothing to nano.
        channels: of the latent, where the exporter dropped some; None: as many as the size has.
    """

    def __init__(self, size: str = "s", act_between: bool = True, channels: int | None = None) -> None:
        super().__init__()
        width = CHANNELS[size]
        self.channels = channels or width
        nano = size == "nano"
        self.blocks = _nano(width, self.channels) if nano else _blocks(width, self.channels, act_between)

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised images ``(N, 3, H, W)`` to latents ``(N, C, H/8, W/8)``, unbounded floats."""
        result: Tensor = self.blocks(x)
        return result


def _blocks(width: int, channels: int, act_between: bool) -> nn.Sequential:
    blocks = [DownBlock(a, b, act_between) for a, b in pairwise((3, *WIDTHS))]
    return nn.Sequential(*blocks, DownBlock(WIDTHS[-1], channels, act_between, middle=width))


def _nano(width: int, channels: int) -> nn.Sequential:
    first, second = WIDTHS
    return nn.Sequential(
        nn.Conv2d(3, first, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(first, second, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(second, width, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, channels, 3, padding=1),
    )
