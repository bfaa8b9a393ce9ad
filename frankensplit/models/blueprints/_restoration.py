# SPDX-License-Identifier: Apache-2.0
"""The layers that begin the stages of all blueprints."""

from __future__ import annotations

from torch import Tensor, nn


class Restoration(nn.Module):
    """Target-agnostic residual block: two 3x3 convolutions and a 1x1 skip, stride 1."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1)
        self.act = nn.LeakyReLU(0.01)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, inputs, h, w)`` to ``(N, outputs, h, w)``."""
        result: Tensor = self.act(self.conv2(self.act(self.conv1(x)))) + self.skip(x)
        return result
