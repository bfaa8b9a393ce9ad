# SPDX-License-Identifier: Apache-2.0
"""Losses of restored features: their distance to the teacher's, or the frozen tail's results from them.

Each objective is about 1 for features that say nothing, whatever the batch, the resolution and the backbone, so the
weight of the rate beside it keeps its meaning.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn import functional as F

from frankensplit.training.tasks.backbone import BackboneWithHeads

Batch = dict[str, Tensor]
SALIENCY = "saliency"  # a batch's maps, float32 (N, h, w), 0..1
TINY = 1e-8


class Objective(ABC):
    """Judges restored shallow features ``(N, C, h, w)``; the teacher is frozen."""

    needs_labels = False
    needs_saliency = False

    def __init__(self, teacher: BackboneWithHeads) -> None:
        self.teacher = teacher
        self.figures: dict[str, float] = {}  # the last batch's figures, for the log

    def __deepcopy__(self, memo: dict[int, object]) -> Objective:
        """Return itself: averaged and trial copies of a task are judged by one frozen teacher, not by copies of it."""
        return self

    @abstractmethod
    def loss(self, restored: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss of a batch, a scalar."""

    @torch.no_grad()
    def target(self, batch: Batch) -> Tensor:
        """Return the unmodified backbone's shallow features, float32."""
        backbone = self.teacher.backbone
        shallow: Tensor = backbone.shallow(backbone.normalise(batch["image"]))
        return shallow.float()


class HeadDistillation(Objective):
    """Squared error of the shallow features, weighted by channel (paper Eq. 10), and where saliency is high (Eq. 11).

    ``gamma1 * mean(d) + gamma2 * mean(s * d)``: both terms are means, as the published code has them, not Eq. 11's
    sum and mean. Without saliency ``gamma2`` is 0.

    Args:
        teacher: the frozen backbone.
        channel_weights: float ``(C,)``, scaled so that an error as large as the target's deviation costs 1 on average.
        uniform: gamma1.
        salient: gamma2; batches must then hold maps.
    """

    def __init__(
        self, teacher: BackboneWithHeads, channel_weights: Tensor, uniform: float = 1.0, salient: float = 0.0
    ) -> None:
        super().__init__(teacher)
        self.channel_weights = channel_weights.view(1, -1, 1, 1)
        self.uniform, self.salient = uniform, salient
        self.needs_saliency = salient > 0

    def loss(self, restored: Tensor, batch: Batch) -> Tensor:
        """Return the weighted squared error."""
        weights = self.channel_weights.to(restored.device)
        distances = (restored.float() - self.target(batch)) ** 2 * weights
        loss = self.uniform * distances.mean()
        if self.needs_saliency:
            height, width = distances.shape[-2:]
            maps = F.adaptive_avg_pool2d(batch[SALIENCY].unsqueeze(1), (height, width))
            loss = loss + self.salient * (maps * distances).mean()
        return loss


class StageDistillation(Objective):
    """The Entropic Student's loss: squared errors after the cut and after each stage of the tail (Matsubara 2022).

    Each stage's error is over its target's variance, so that none drowns the others.
    """

    def loss(self, restored: Tensor, batch: Batch) -> Tensor:
        """Return the mean over stages."""
        with torch.no_grad():
            targets = self.teacher.backbone.tail(self.target(batch))
        found = self.teacher.backbone.tail(restored)
        pairs = zip(found, targets, strict=True)
        return torch.stack(
            [F.mse_loss(a.float(), b.float()) / (b.float().var() + TINY) for a, b in pairs]
        ).mean()


class TaskLoss(Objective):
    """Direct optimisation: the heads' own loss through the frozen tail (paper 6.3.9, SVBI-CE)."""

    needs_labels = True

    def loss(self, restored: Tensor, batch: Batch) -> Tensor:
        """Return the heads' weighted loss over their weights' sum."""
        return self.judged(self.teacher.backbone.tail(restored), batch)

    def judged(self, features: list[Tensor], batch: Batch) -> Tensor:
        """Return the heads' loss on these features."""
        loss, _ = self.teacher.heads_loss(features, batch)
        return loss / sum(self.teacher.weights.values())


class FeaturesAndTask(Objective):
    """The features' error plus the heads' own loss: what the paper fits blueprints to finished encoders by (6.3.6).

    Both are means of about 1 for features that say nothing, so neither drowns the other.
    """

    needs_labels = True

    def __init__(self, features: HeadDistillation) -> None:
        super().__init__(features.teacher)
        self.features, self.task = features, TaskLoss(features.teacher)
        self.needs_saliency = features.needs_saliency

    def loss(self, restored: Tensor, batch: Batch) -> Tensor:
        """Return the sum."""
        features, task = self.features.loss(restored, batch), self.task.loss(restored, batch)
        self.figures = {"features": features.item(), "task": task.item()}
        return features + task


class TaskDistillation(TaskLoss):
    """Half the heads' own loss, half their disagreement with the unmodified backbone (paper 6.3.9, SVBI-KD, T = 1)."""

    def loss(self, restored: Tensor, batch: Batch) -> Tensor:
        """Return the mean of both."""
        features = self.teacher.backbone.tail(restored)
        with torch.no_grad():
            truth = self.teacher.backbone.tail(self.target(batch))
        return (self.judged(features, batch) + self._disagreement(features, truth)) / 2

    def _disagreement(self, features: list[Tensor], truth: list[Tensor]) -> Tensor:
        weights, losses = self.teacher.weights, []
        for name, head in self.teacher.heads.items():
            with torch.no_grad():
                wanted = head(truth)
            losses.append(weights[name] * head.disagreement(head(features), wanted))  # type: ignore[operator]
        return torch.stack(losses).sum() / sum(weights.values())
