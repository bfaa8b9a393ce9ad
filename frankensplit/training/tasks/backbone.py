# SPDX-License-Identifier: Apache-2.0
"""Trainings of backbones: classification, and all heads at once; and what their features tell of themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from frankensplit.models.backbone import Backbone
from frankensplit.models.heads.base import Head
from frankensplit.training.tasks.base import Task


class Classify(Task):
    """A backbone with a linear classifier on its last features."""

    def __init__(self, backbone: Backbone, class_count: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.norm = nn.LayerNorm(backbone.channels[-1])
        self.classifier = nn.Linear(backbone.channels[-1], class_count)

    def loss(self, batch: dict[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        """Return the cross entropy and the batch's accuracy."""
        features = self.backbone(self.backbone.normalise(batch["image"]))[-1].mean((2, 3))
        logits = self.classifier(self.norm(features)).float()
        accuracy = (logits.argmax(1) == batch["label"]).float().mean().item()
        return F.cross_entropy(logits, batch["label"], label_smoothing=0.1), {"accuracy": accuracy}


class BackboneWithHeads(Task):
    """A backbone and all heads, by the weighted sum of the heads' losses.

    Args:
        backbone, heads: the networks.
        weights: of each head's loss.
        backbone_lr: learning rate of the backbone, relative to the heads'.
        keep_statistics: whether the backbone's batch norms keep theirs, and nothing of it is dropped by chance.
    """

    def __init__(
        self,
        backbone: Backbone,
        heads: dict[str, Head],
        weights: dict[str, float],
        backbone_lr: float = 1.0,
        keep_statistics: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.heads = nn.ModuleDict(heads)
        self.weights = weights
        self.backbone_lr, self.keep_statistics = backbone_lr, keep_statistics

    def train(self, mode: bool = True) -> BackboneWithHeads:
        """Set the mode; a backbone that keeps its statistics stays in evaluation mode."""
        super().train(mode)
        if self.keep_statistics:
            self.backbone.eval()
        return self

    def learning_rates(self) -> list[tuple[list[nn.Parameter], float]]:
        """Return the heads at the schedule's rate, the backbone at its own."""
        return [
            ([*self.heads.parameters()], 1.0),
            ([*self.backbone.parameters()], self.backbone_lr),
        ]

    @property
    def labels(self) -> dict[str, dict[str, Any]]:
        """The label set of each head."""
        heads: Any = self.heads
        return {name: head.labels for name, head in heads.items()}

    def loss(self, batch: dict[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        """Return the weighted loss and each head's own."""
        features = self.backbone(self.backbone.normalise(batch["image"]))
        return self.heads_loss(plain_layout(features), batch)

    def heads_loss(self, features: list[Tensor], batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Return the weighted loss of all heads on these features, and each head's own."""
        losses: dict[str, Tensor] = {}
        for name, module in self.heads.items():
            head: Any = module
            losses[name] = head.loss(head(features), head_targets(batch, name))
        total = torch.stack([self.weights[name] * loss for name, loss in losses.items()]).sum()
        return total, {name: loss.item() for name, loss in losses.items()}


def plain_layout(features: list[Tensor]) -> list[Tensor]:
    """Return features; those without gradient lose channels-last, on which torch's group norm crashes on CPUs."""
    return [feature if feature.requires_grad else feature.contiguous() for feature in features]


def head_targets(batch: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """Return a head's targets in a batch by their key."""
    prefix = f"{name}."
    return {key.removeprefix(prefix): value for key, value in batch.items() if key.startswith(prefix)}


@torch.no_grad()
def channel_variance(teacher: Backbone, batches: Sequence[dict[str, Tensor]]) -> Tensor:
    """Return the variance of each shallow channel over some batches, float32 ``(C,)``."""
    teacher.eval()
    features = [teacher.shallow(teacher.normalise(batch["image"])) for batch in batches]
    return torch.cat(features).transpose(0, 1).flatten(1).var(1)


def fisher_information(task: BackboneWithHeads, batches: Sequence[dict[str, Tensor]]) -> Tensor:
    """Return the mean squared gradient of the heads' loss by each shallow channel, float32 ``(C,)``."""
    task.eval()
    total = torch.zeros(task.backbone.channels[0])
    for batch in batches:
        with torch.no_grad():
            shallow = task.backbone.shallow(task.backbone.normalise(batch["image"]))
        shallow.requires_grad_(True)
        loss, _ = task.heads_loss(task.backbone.tail(shallow), batch)
        (gradient,) = torch.autograd.grad(loss, shallow)
        total += (gradient**2).mean((0, 2, 3))
    return total / len(batches)
