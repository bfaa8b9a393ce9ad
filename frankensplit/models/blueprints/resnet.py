# SPDX-License-Identifier: Apache-2.0
"""ResNet blueprint: restoration and residual blocks, twice, at the latent's resolution (paper 5.3.3).

The paper gives no layout for this family; this one repeats the backbone's own ``layer1`` and ``layer2``, without
their strides, each behind a restoration. It ends with their ReLU, since its target is never negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from frankensplit.kinds import TrueOrFalse
from frankensplit.models.arguments import DEPTH, LATENT, WIDTH, each
from frankensplit.models.backbone import Backbone
from frankensplit.models.blueprints._restoration import Restoration
from frankensplit.models.timm_import import timm

STRIDE = 8
ARGUMENTS = {
    "latent_channels": LATENT,
    "target_channels": WIDTH,
    "depths": each(DEPTH, 2),
    "bottleneck": TrueOrFalse(),
}


class Blueprint(nn.Module):
    """Latent to shallow features, both at stride 8.

    Args:
        latent_channels: C of the codec.
        target_channels: channels of the backbone's shallow features, a multiple of 8.
        depths: residual blocks of each of the two stages.
        bottleneck: blocks of 1x1, 3x3 and 1x1 convolutions with four times as many channels outside, as from
            ResNet-50 on; otherwise of two 3x3 convolutions.
    """

    def __init__(
        self, latent_channels: int, target_channels: int, depths: Sequence[int], bottleneck: bool
    ) -> None:
        super().__init__()
        block = timm.models.resnet.Bottleneck if bottleneck else timm.models.resnet.BasicBlock
        second = target_channels // block.expansion
        first = second // 2
        self.stages = nn.Sequential(
            Restoration(latent_channels, first),
            _transformation(block, first, first, depths[0]),
            Restoration(first * block.expansion, second),
            _transformation(block, second, second, depths[1]),
        )

    def forward(self, latent: Tensor) -> Tensor:
        """Map ``(N, latent_channels, h, w)`` to ``(N, target_channels, h, w)``, at least 0."""
        result: Tensor = self.stages(latent)
        return result


def _transformation(block: Any, inputs: int, planes: int, depth: int) -> nn.Sequential:
    """Return timm blocks at stride 1, the first with a projection where the number of channels changes."""
    outputs = planes * block.expansion
    widths = [inputs, *[outputs] * depth]
    return nn.Sequential(*(block(a, planes, downsample=_projection(a, b)) for a, b in pairwise(widths)))


def _projection(inputs: int, outputs: int) -> nn.Module | None:
    if inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))


def default_arguments(backbone: Backbone) -> dict[str, Any]:
    """Return depths and kind of block of the backbone's own ``layer1`` and ``layer2``."""
    shallow: Any = backbone.shallow
    layer1, layer2 = shallow[-2:]
    return {"depths": [len(layer1), len(layer2)], "bottleneck": hasattr(layer2[0], "conv3")}
