# SPDX-License-Identifier: Apache-2.0
"""A small residual network behind a frozen blueprint: a few kilobytes that fit a bundle to a site."""

from __future__ import annotations

from torch import Tensor, nn

from frankensplit.models.backbone import freeze


class AdaptedBlueprint(nn.Module):
    """A frozen blueprint, and a bottleneck whose output is added to its features; it begins as the identity.

    Args:
        blueprint: latent ``(N, C, h, w)`` to shallow features; frozen for good.
        channels: of the shallow features.
        width: channels of the bottleneck.
    """

    def __init__(self, blueprint: nn.Module, channels: int, width: int) -> None:
        super().__init__()
        self.blueprint = freeze(blueprint)
        self.adapter = nn.Sequential(
            nn.Conv2d(channels, width, 1),
            nn.Conv2d(width, width, 3, padding=1, groups=width),
            nn.GELU(),
            nn.Conv2d(width, channels, 1),
        )
        last: nn.Module = self.adapter[-1]
        for parameter in last.parameters():
            nn.init.zeros_(parameter)

    def train(self, mode: bool = True) -> AdaptedBlueprint:
        """Set the mode of the adapter alone: the blueprint's statistics stay as they are, too."""
        super().train(mode)
        self.blueprint.eval()
        return self

    def forward(self, latent: Tensor) -> Tensor:
        """Map a latent to shallow features."""
        features: Tensor = self.blueprint(latent)
        added: Tensor = self.adapter(features)
        return features + added
