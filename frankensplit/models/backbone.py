# SPDX-License-Identifier: Apache-2.0
"""A timm backbone cut before its deepest stage: shallow layers, which a blueprint replaces, and the frozen tail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from frankensplit.errors import BundleError
from frankensplit.models.timm_import import timm


class Backbone(nn.Module):
    """Shallow layers and tail of one network; together they are the unmodified backbone.

    Attributes:
        channels: channels of the features ``[shallow, third stage, last stage]``, strides 8, 16, 32.
    """

    def __init__(self, shallow: nn.Module, tail: list[nn.Module], channels: list[int]) -> None:
        super().__init__()
        self.shallow = shallow
        self.tail_stages = nn.ModuleList(tail)
        self.channels = channels

    def tail(self, shallow_features: Tensor) -> list[Tensor]:
        """Map shallow features ``(N, channels[0], H/8, W/8)`` to all features that heads read, finest first."""
        features = [shallow_features]
        for stage in self.tail_stages:
            features.append(stage(features[-1]))
        return features

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map normalised images ``(N, 3, H, W)`` to the features of the unmodified backbone."""
        return self.tail(self.shallow(images))


def _cut_convnext(model: Any) -> Backbone:
    """Cut before stage 2, its own down-sampling stays in the tail (timm layout; paper 5.3.2)."""
    shallow = nn.Sequential(model.stem, model.stages[0], model.stages[1])
    channels = [info["num_chs"] for info in model.feature_info][1:]
    return Backbone(shallow, [model.stages[2], model.stages[3]], channels)


CUTS: dict[str, Callable[[Any], Backbone]] = {"convnext": _cut_convnext}


def build_backbone(model: str, **arguments: Any) -> Backbone:
    """Build a timm model by name, without its classifier, and cut it.

    Raises:
        BundleError: timm does not know the name, or no cut is known for its family.
    """
    family = model.split("_")[0]
    if family not in CUTS:
        raise BundleError(f"no cut is known for backbone {model!r}: the families are {sorted(CUTS)}")
    if not timm.is_model(model):
        raise BundleError(
            f"timm {timm.__version__} has no model {model!r}; see timm.list_models('{family}*')"
        )
    return CUTS[family](timm.create_model(model, num_classes=0, **arguments))


def freeze(module: nn.Module) -> nn.Module:
    """Freeze weights and statistics for good; return the module."""
    module.requires_grad_(False)
    return module.eval()
