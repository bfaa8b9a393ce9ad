# SPDX-License-Identifier: Apache-2.0
"""Swin blueprint: the published one, layer by layer and parameter by parameter (2,058,974 with 48 latent channels).

Restoration and two Swin blocks with a shortcut around them, restoration and two Swin blocks, patch merging to the
target's stride, layer norm. Windows always have their full size; features that no whole number of windows covers are
padded, as timm does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from frankensplit.kinds import Whole
from frankensplit.models.arguments import DEPTH, LATENT, WIDTH, each
from frankensplit.models.backbone import Backbone
from frankensplit.models.blueprints._restoration import Restoration
from frankensplit.models.timm_import import timm

STRIDE = 16
ARGUMENTS = {
    "latent_channels": LATENT,
    "target_channels": WIDTH,
    "widths": each(WIDTH, 2),
    "heads": each(Whole(1, 128), 2),
    "depths": each(DEPTH, 2),
}
WINDOW = 7
DROP_PATH = 0.05  # rate in the first stage's second block, while training


class Transformation(nn.Module):
    """Swin blocks, every second one with shifted windows; NCHW."""

    def __init__(self, width: int, heads: int, depth: int, shortcut: bool) -> None:
        super().__init__()
        blocks = (
            timm.models.swin_transformer.SwinTransformerBlock(
                width,
                (WINDOW, WINDOW),
                heads,
                window_size=WINDOW,
                shift_size=WINDOW // 2 if number % 2 else 0,
                always_partition=True,
                dynamic_mask=True,
                drop_path=DROP_PATH if shortcut and number % 2 else 0.0,
            )
            for number in range(depth)
        )
        self.blocks = nn.Sequential(*blocks)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, width, h, w)`` to the same shape."""
        y: Tensor = self.blocks(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return y + x if self.shortcut else y


class Blueprint(nn.Module):
    """Latent at stride 8 to shallow features at stride 16.

    Args:
        latent_channels: C of the codec.
        target_channels: channels of the backbone's shallow features.
        widths: width of each of the two stages.
        heads: attention heads of each of the two stages.
        depths: Swin blocks of each of the two stages.
    """

    def __init__(
        self,
        latent_channels: int,
        target_channels: int,
        widths: Sequence[int],
        heads: Sequence[int],
        depths: Sequence[int],
    ) -> None:
        super().__init__()
        self.stages = nn.Sequential(
            Restoration(latent_channels, widths[0]),
            Transformation(widths[0], heads[0], depths[0], shortcut=True),
            Restoration(widths[0], widths[1]),
            Transformation(widths[1], heads[1], depths[1], shortcut=False),
        )
        self.merging = timm.models.swin_transformer.PatchMerging(widths[1], target_channels)
        self.norm = nn.LayerNorm(target_channels)

    def forward(self, latent: Tensor) -> Tensor:
        """Map ``(N, latent_channels, h, w)`` to ``(N, target_channels, h / 2, w / 2)``."""
        tokens: Tensor = self.norm(self.merging(self.stages(latent).permute(0, 2, 3, 1)))
        return tokens.permute(0, 3, 1, 2)


def default_arguments(backbone: Backbone) -> dict[str, Any]:
    """Return the widths of the backbone's own first two stages; for its 96 and 192 this is the published blueprint."""
    width = backbone.channels[0] // 4
    heads = [max(1, width // 32), 4 * max(1, width // 96)]
    return {"widths": [width, 2 * width], "heads": heads, "depths": [2, 2]}
