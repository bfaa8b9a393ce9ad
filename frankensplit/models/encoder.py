# SPDX-License-Identifier: Apache-2.0
"""The robot's only network: three down-sampling residual blocks, stride 8 (paper 5.3.3, Table 6)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS = (48, 64)
CHANNELS = {"s": 48}
STRIDE = 8
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class DownBlock(nn.Module):
    """Two 3x3 convolutions and a 1x1 skip, half the resolution.

    ``act_between`` puts a ReLU after both convolutions, as the paper's text says; without it only the second has one,
    as in the published code.
    """

    def __init__(self, inputs: int, outputs: int, act_between: bool = True) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1, stride=2)
        self.act_between = act_between

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, inputs, H, W)`` to ``(N, outputs, H/2, W/2)``."""
        y = self.conv1(x)
        y = torch.relu(y) if self.act_between else y
        # the skip's own stride, done by slicing: torch's bfloat16 kernel for it overruns its memory (3 channels, CPU)
        skip = F.conv2d(x[:, :, ::2, ::2], self.skip.weight, self.skip.bias)
        return torch.relu(self.conv2(y)) + skip


class Encoder(nn.Module):
    """Image to latent; 141,696 parameters with 48 channels, with either activation.

    Args:
        channels: latent channels C (S: 48).
        act_between: ReLU after the first convolution of each block (see :class:`DownBlock`).
    """

    def __init__(self, channels: int = CHANNELS["s"], act_between: bool = True) -> None:
        super().__init__()
        widths = (3, *WIDTHS, channels)
        self.blocks = nn.Sequential(*(DownBlock(a, b, act_between) for a, b in pairwise(widths)))
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised images ``(N, 3, H, W)`` to latents ``(N, C, H/8, W/8)``, unbounded floats."""
        result: Tensor = self.blocks(x)
        return result


def normalise(images: Tensor) -> Tensor:
    """Map uint8 RGB ``(N, 3, H, W)`` to float32 with ImageNet's mean and deviation."""
    mean = torch.tensor(IMAGENET_MEAN, device=images.device).view(1, 3, 1, 1) * 255
    std = torch.tensor(IMAGENET_STD, device=images.device).view(1, 3, 1, 1) * 255
    return (images.float() - mean) / std
