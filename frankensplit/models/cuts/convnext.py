# SPDX-License-Identifier: Apache-2.0
"""ConvNeXt and ConvNeXt V2: cut before the third stage, whose own down-sampling stays in the tail (paper 5.3.2)."""

from __future__ import annotations

from typing import Any

from torch import nn

from frankensplit.kinds import Number, Whole
from frankensplit.models.arguments import CLASSES, DEPTH, RATE, WIDTH, each
from frankensplit.models.backbone import Parts

TIMM_FILE = "convnext"
STRIDE = 8
ARGUMENTS = {
    "num_classes": CLASSES,
    "depths": each(DEPTH, 4),
    "dims": each(WIDTH, 4),
    "patch_size": Whole(1, 32),
    "ls_init_value": Number(0, 10),
    "drop_rate": RATE,
    "drop_path_rate": RATE,
}


def cut(network: Any) -> Parts:
    """Cut; the shallow features are the second stage's output."""
    stem, (first, second, third, last) = network.stem, network.stages
    if not isinstance(network.norm_pre, nn.Identity):
        last = nn.Sequential(last, network.norm_pre)
    kept = network.feature_info[1:]
    return Parts(
        shallow=nn.Sequential(stem, first, second),
        tail=[third, last],
        channels=[info["num_chs"] for info in kept],
        strides=[info["reduction"] for info in kept],
        classifier=network.head,
    )
