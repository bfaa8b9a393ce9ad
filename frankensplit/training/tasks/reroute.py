# SPDX-License-Identifier: Apache-2.0
"""Head re-routing (paper 5.3.4, Figure 12): the shallow layers of one network before the frozen tail of another."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from frankensplit.models.backbone import Backbone
from frankensplit.training.tasks.base import Task
from frankensplit.training.tasks.objectives import Objective


class TrainReroute(Task):
    """Shallow layers and a 1x1 convolution behind them; strides that differ are made equal by bilinear resampling.

    Args:
        source: the network whose shallow layers are taken and trained on.
        objective: judges what they give through the frozen tail of the other network.
    """

    def __init__(self, source: Backbone, objective: Objective) -> None:
        super().__init__()
        target = objective.teacher.backbone
        self.normalise = source.normalise
        self.shallow = copy.deepcopy(source.shallow).requires_grad_(True)
        self.adapter = _adapter(source, target)
        self.objective = objective

    def restore(self, images: Tensor) -> Tensor:
        """Map uint8 images ``(N, 3, H, W)`` to shallow features for the other network's tail."""
        features: Tensor = self.adapter(self.shallow(self.normalise(images)))
        return features

    def loss(self, batch: dict[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        """Return the objective."""
        return self.objective.loss(self.restore(batch["image"]), batch), {}


def _adapter(source: Backbone, target: Backbone) -> nn.Module:
    project = nn.Conv2d(source.channels[0], target.channels[0], 1)
    if source.strides[0] == target.strides[0]:
        return project
    factor = source.strides[0] / target.strides[0]
    return nn.Sequential(nn.Upsample(scale_factor=factor, mode="bilinear"), project)
