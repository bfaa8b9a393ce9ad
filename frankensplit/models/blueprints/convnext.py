# SPDX-License-Identifier: Apache-2.0
"""ConvNeXt blueprint: restoration, transformation and shortcut, twice, at the latent's resolution (paper 5.3.3).

The paper gives no layout for this family; this one mirrors its Swin blueprint, with ConvNeXt blocks and no merging.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from frankensplit.models.arguments import DEPTH, LATENT, WIDTH, each
from frankensplit.models.backbone import Backbone
from frankensplit.models.blueprints._restoration import Restoration
from frankensplit.models.timm_import import timm

STRIDE = 8
ARGUMENTS = {
    "latent_channels": LATENT,
    "target_channels": WIDTH,
    "widths": each(WIDTH, 2),
    "depths": each(DEPTH, 2),
}
LAYER_SCALE = 0.1  # timm's 1e-6 learns next to nothing in short runs


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


def default_arguments(backbone: Backbone) -> dict[str, Any]:
    """Return the widths of the backbone's own first two stages, and as many blocks as paper's Table 5 has room for."""
    target = backbone.channels[0]
    return {"widths": [max(64, target // 2), max(96, target)], "depths": [3, 3 if target < 256 else 2]}
