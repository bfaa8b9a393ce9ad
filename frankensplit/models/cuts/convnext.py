# SPDX-License-Identifier: Apache-2.0
"""ConvNeXt and ConvNeXt V2: cut before the third stage, whose own down-sampling stays in the tail (paper 5.3.2)."""

from __future__ import annotations

from typing import Any

from torch import nn

from frankensplit.models.backbone import Parts

TIMM_FILE = "convnext"
STRIDE = 8


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
