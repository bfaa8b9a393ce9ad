# SPDX-License-Identifier: Apache-2.0
"""Take latent channels that carry nothing out of an encoder and the blueprint behind it.

Training by rate leaves most channels of a latent at their median in every image; each still costs the robot and the
server the time of coding a plane of zeros, and the encoder that of computing it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from frankensplit.models.blueprints._restoration import Restoration
from frankensplit.models.encoder import DownBlock, Encoder


@torch.no_grad()
def keep_channels(encoder: Encoder, blueprint: nn.Module, kept: Sequence[int], medians: Tensor) -> None:
    """Drop all latent channels but ``kept`` from both networks, in place.

    The blueprint gives what it gave where the dropped channels hold their median, but for the border, where its padding
    is 0 instead.

    Args:
        encoder: gives ``C`` channels, afterwards ``len(kept)``.
        blueprint: of any family.
        kept: rising numbers of channels, at least one.
        medians: float ``(C,)``.
    """
    last = encoder.blocks[-1]
    for conv in (last.conv2, last.skip) if isinstance(last, DownBlock) else (last,):
        assert isinstance(conv, nn.Conv2d)
        _keep_outputs(conv, list(kept))
    encoder.channels = len(kept)
    first = next(module for module in blueprint.modules() if isinstance(module, Restoration))
    for conv in (first.conv1, first.skip):
        _keep_inputs(conv, list(kept), medians)


def _keep_outputs(conv: nn.Conv2d, kept: list[int]) -> None:
    assert conv.bias is not None
    conv.weight, conv.bias = nn.Parameter(conv.weight[kept]), nn.Parameter(conv.bias[kept])
    conv.out_channels = len(kept)


def _keep_inputs(conv: nn.Conv2d, kept: list[int], values: Tensor) -> None:
    """Drop input channels that hold the same value at every pixel; their share goes into the bias."""
    assert conv.bias is not None
    dropped = [channel for channel in range(conv.in_channels) if channel not in kept]
    conv.bias += torch.einsum("oihw,i->o", conv.weight[:, dropped], values[dropped].to(conv.weight))
    conv.weight = nn.Parameter(conv.weight[:, kept])
    conv.in_channels = len(kept)
