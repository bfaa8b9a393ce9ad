# SPDX-License-Identifier: Apache-2.0
"""ConvNeXt blueprint: restoration, transformation and shortcut, twice, at the latent's resolution (paper 5.3.3).

The paper gives no layout for this family; this one mirrors its Swin blueprint, with ConvNeXt blocks.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from frankensplit.models.timm_import import timm

LAYER_SCALE = 0.1  # timm's 1e-6 learns next to nothing in short runs


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


class Transformation(nn.Module):
    """ConvNeXt blocks with a shortcut around all of them."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        blocks = (
            timm.models.convnext.ConvNeXtBlock(width, ls_init_value=LAYER_SCALE, conv_mlp=True)
            for _ in range(depth)
        )
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, width, h, w)`` to the same shape."""
        result: Tensor = self.blocks(x) + x
        return result


class Blueprint(nn.Module):
    """Latent to shallow features, both at stride 8.

    Args:
        latent_channels: C of the codec.
        target_channels: channels of the backbone's shallow features.
        widths: width of each of the two stages.
        depths: ConvNeXt blocks of each of the two stages.
    """

    def __init__(
        self, latent_channels: int, target_channels: int, widths: Sequence[int], depths: Sequence[int]
    ) -> None:
        super().__init__()
        self.stages = nn.Sequential(
            Restoration(latent_channels, widths[0]),
            Transformation(widths[0], depths[0]),
            Restoration(widths[0], widths[1]),
            Transformation(widths[1], depths[1]),
        )
        self.out = nn.Conv2d(widths[1], target_channels, 1)

    def forward(self, latent: Tensor) -> Tensor:
        """Map ``(N, latent_channels, h, w)`` to ``(N, target_channels, h, w)``."""
        result: Tensor = self.out(self.stages(latent))
        return result
