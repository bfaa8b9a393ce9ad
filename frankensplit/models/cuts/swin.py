# SPDX-License-Identifier: Apache-2.0
"""Swin: cut inside the third stage, after its patch merging, as published.

timm has each merging at the start of a stage, the published code at the end of the stage before; so the shallow
features are the output of ``layers[2].downsample``, stride 16. timm's NHWC is turned into NCHW at the seams.

Any size of image is taken, as timm's ``dynamic_img_size`` does: windows and their tables stay as trained, features
that no whole number of windows covers are padded. Beyond timm, windows are shifted wherever the features are larger
than one: at the trained size a stage may have had a single window, and then no shift.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from frankensplit.kinds import Whole
from frankensplit.models.arguments import CLASSES, DEPTH, RATE, WIDTH, each
from frankensplit.models.backbone import Parts

TIMM_FILE = "swin_transformer"
STRIDE = 16
BUILD = {"dynamic_img_size": True}
ARGUMENTS = {
    "num_classes": CLASSES,
    "embed_dim": WIDTH,
    "depths": each(DEPTH, 4),
    "num_heads": each(Whole(1, 128), 4),
    # Each block has a table of its fourth power: 0.5 MB at 16, over timm's largest, 14.
    "window_size": Whole(1, 16),
    "drop_rate": RATE,
    "drop_path_rate": RATE,
}


class Stage(nn.Module):
    """Patch merging (or none) and blocks, NHWC, with windows shifted where there are several."""

    def __init__(self, merging: nn.Module, blocks: nn.Sequential) -> None:
        super().__init__()
        self.merging, self.blocks = merging, blocks

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, h, w, C)`` to ``(N, h', w', C')``."""
        x = self.merging(x)
        for block in self.blocks:
            shift_windows(block, x.shape[1], x.shape[2])
        result: Tensor = self.blocks(x)
        return result


class ToChannelsFirst(nn.Module):
    """NHWC to NCHW."""

    def forward(self, x: Tensor) -> Tensor:
        """Permute; the memory becomes channels-last."""
        return x.permute(0, 3, 1, 2)


class ToChannelsLast(nn.Module):
    """NCHW to NHWC."""

    def forward(self, x: Tensor) -> Tensor:
        """Permute."""
        return x.permute(0, 2, 3, 1)


def shift_windows(block: Any, height: int, width: int) -> None:
    """Make a timm block shift its windows along each side of the features that is longer than one window."""
    block.shift_size = tuple(
        shift if side > window else 0
        for side, window, shift in zip(
            (height, width), block.window_size, block.target_shift_size, strict=True
        )
    )


def cut(network: Any) -> Parts:
    """Cut; the shallow features are the merged patches that the third stage's blocks begin with."""
    first, second, third, last = network.layers
    stages = (Stage(stage.downsample, stage.blocks) for stage in (first, second))
    kept = [network.feature_info[2], *network.feature_info[2:]]
    return Parts(
        shallow=nn.Sequential(network.patch_embed, *stages, third.downsample, ToChannelsFirst()),
        tail=[
            nn.Sequential(ToChannelsLast(), Stage(nn.Identity(), third.blocks), ToChannelsFirst()),
            nn.Sequential(
                ToChannelsLast(), Stage(last.downsample, last.blocks), network.norm, ToChannelsFirst()
            ),
        ],
        channels=[info["num_chs"] for info in kept],
        strides=[info["reduction"] for info in kept],
        classifier=nn.Sequential(ToChannelsLast(), network.head),
    )
