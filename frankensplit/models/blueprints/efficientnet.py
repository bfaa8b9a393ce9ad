# SPDX-License-Identifier: Apache-2.0
"""EfficientNet blueprint: restoration and residual blocks at the latent's resolution (paper 5.3.3).

The paper gives no layout for this family. Its own blocks widen and filter each channel apart, which on CPUs costs far
more time than their multiplications say; so the transformation is of dense 3x3 convolutions, as in the family's later
"fused" blocks. No activation follows the last convolution, as none follows the projection that it replaces.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from frankensplit.models.arguments import DEPTH, LATENT, WIDTH
from frankensplit.models.backbone import Backbone
from frankensplit.models.blueprints._restoration import Restoration

STRIDE = 8
ARGUMENTS = {"latent_channels": LATENT, "target_channels": WIDTH, "width": WIDTH, "depth": DEPTH}


class Block(nn.Module):
    """Two 3x3 convolutions with a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, width, h, w)`` to the same shape."""
        result: Tensor = self.conv2(self.act(self.conv1(self.act(x)))) + x
        return result


class Blueprint(nn.Module):
    """Latent to shallow features, both at stride 8.

    Args:
        latent_channels: C of the codec.
        target_channels: channels of the backbone's shallow features.
        width: channels of all that lies between.
        depth: blocks.
    """

    def __init__(self, latent_channels: int, target_channels: int, width: int, depth: int) -> None:
        super().__init__()
        self.stages = nn.Sequential(
            Restoration(latent_channels, width), *(Block(width) for _ in range(depth))
        )
        self.out = nn.Conv2d(width, target_channels, 1)

    def forward(self, latent: Tensor) -> Tensor:
        """Map ``(N, latent_channels, h, w)`` to ``(N, target_channels, h, w)``."""
        result: Tensor = self.out(self.stages(latent))
        return result


def default_arguments(backbone: Backbone) -> dict[str, Any]:
    """Return a width that grows with the backbone's stem, whose cost is most of what is replaced."""
    shallow: Any = backbone.shallow
    return {"width": 3 * shallow[0].out_channels, "depth": 3}
