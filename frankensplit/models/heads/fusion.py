# SPDX-License-Identifier: Apache-2.0
"""Merge the features of all strides at stride 8: what dense heads begin with."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDE = 8


class Fusion(nn.Module):
    """Project each feature to one width, add them at stride 8 with the image's mean, mix by a ConvNeXt-like block.

    Where the finest feature is coarser than stride 8, the sum is enlarged before it is mixed.
    """

    def __init__(self, channels: Sequence[int], width: int, strides: Sequence[int]) -> None:
        super().__init__()
        self.enlarge = strides[0] / STRIDE
        self.lateral = nn.ModuleList(
            nn.Sequential(nn.GroupNorm(1, inputs), nn.Conv2d(inputs, width, 1)) for inputs in channels
        )
        self.context = nn.Conv2d(channels[-1], width, 1)
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.mix = nn.Sequential(nn.GroupNorm(1, width), nn.Conv2d(width, 2 * width, 1), nn.GELU())
        self.project = nn.Conv2d(2 * width, width, 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Map features, finest first, to ``(N, width, H/8, W/8)``."""
        merged = self.context(features[-1].mean((2, 3), keepdim=True))
        for lateral, feature in zip(reversed(self.lateral), reversed(features), strict=True):
            y = lateral(feature)
            merged = y + F.interpolate(merged, size=y.shape[-2:], mode="bilinear", align_corners=False)
        if self.enlarge != 1:
            merged = F.interpolate(merged, scale_factor=self.enlarge, mode="bilinear", align_corners=False)
        result: Tensor = merged + self.project(self.mix(self.depthwise(merged)))
        return torch.relu(result)
