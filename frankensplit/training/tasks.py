# SPDX-License-Identifier: Apache-2.0
"""The three trainings: classify (pre-training), backbone with heads, codec by head distillation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from frankensplit.models.backbone import Backbone, freeze
from frankensplit.models.encoder import Encoder, normalise
from frankensplit.models.entropy import FactorizedPrior
from frankensplit.models.heads.base import Head
from frankensplit.training.engine import Task


class Classify(Task):
    """A backbone with a linear classifier on its last features."""

    def __init__(self, backbone: Backbone, class_count: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.norm = nn.LayerNorm(backbone.channels[-1])
        self.classifier = nn.Linear(backbone.channels[-1], class_count)

    def loss(self, batch: dict[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        """Return the cross entropy and the batch's accuracy."""
        features = self.backbone(normalise(batch["image"]))[-1].mean((2, 3))
        logits = self.classifier(self.norm(features)).float()
        accuracy = (logits.argmax(1) == batch["label"]).float().mean().item()
        return F.cross_entropy(logits, batch["label"], label_smoothing=0.1), {"accuracy": accuracy}


class BackboneWithHeads(Task):
    """A backbone and all heads, by the weighted sum of the heads' losses."""

    def __init__(self, backbone: Backbone, heads: dict[str, Head], weights: dict[str, float]) -> None:
        super().__init__()
        self.backbone = backbone
        self.heads = nn.ModuleDict(heads)
        self.weights = weights

    def loss(self, batch: dict[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        """Return the weighted loss and each head's own."""
        return self.heads_loss(self.backbone(normalise(batch["image"])), batch)

    def heads_loss(self, features: list[Tensor], batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Return the weighted loss of all heads on these features, and each head's own."""
        losses: dict[str, Tensor] = {}
        for name, module in self.heads.items():
            head: Any = module
            targets = {k.split(".", 1)[1]: v for k, v in batch.items() if k.startswith(f"{name}.")}
            losses[name] = head.loss(head(features), targets)
        total = torch.stack([self.weights[name] * loss for name, loss in losses.items()]).sum()
        return total, {name: loss.item() for name, loss in losses.items()}


class Distil(Task):
    """Encoder, entropy model and blueprint against the shallow features of a frozen backbone (paper Eq. 10).

    Loss = mean squared error, weighted per channel, + weight * bits per input pixel. The channel weights are 1 over
    the target's variance, or follow the Fisher information of the heads' loss; both are scaled so that an error as
    large as the target's deviation costs 1 on average. So the rate's weight means the same for each batch size,
    resolution and backbone. The noisy latent feeds both the blueprint and the entropy model, as in the published
    code. The rate's weight rises linearly over the first part of the run.
    """

    def __init__(
        self,
        teacher: Backbone,
        encoder: Encoder,
        prior: FactorizedPrior,
        blueprint: nn.Module,
        channel_weights: Tensor,
        rate_weight: float,
        rate_warmup: float,
        density_lr: float,
    ) -> None:
        super().__init__()
        self.encoder, self.prior, self.blueprint = encoder, prior, blueprint
        self._teacher = [freeze(teacher)]  # in a list: no part of this module's state
        self.register_buffer("channel_weights", channel_weights.view(1, -1, 1, 1))
        self.rate_weight, self.rate_warmup, self.density_lr = rate_weight, rate_warmup, density_lr

    def loss(self, batch: dict[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        """Return distortion plus weighted rate, and both."""
        images = normalise(batch["image"])
        teacher: Any = self._teacher[0]
        with torch.no_grad():
            target = teacher.shallow(images).float()
        noisy, bits = self.prior(self.encoder(images))
        channel_weights: Any = self.channel_weights
        distortion = ((self.blueprint(noisy).float() - target) ** 2 * channel_weights).mean()
        bpp = bits.mean() / (images.shape[-2] * images.shape[-1])
        weight = (
            self.rate_weight * min(1.0, progress / self.rate_warmup) if self.rate_warmup else self.rate_weight
        )
        return distortion + weight * bpp, {"distortion": distortion.item(), "bpp": bpp.item()}

    def learning_rates(self) -> list[tuple[list[nn.Parameter], float]]:
        """Return networks at the schedule's rate, densities faster; quantiles are fitted by bisection at export."""
        networks = [*self.encoder.parameters(), *self.blueprint.parameters()]
        return [(networks, 1.0), (self.prior.density_parameters(), self.density_lr)]


@torch.no_grad()
def channel_variance(teacher: Backbone, batches: Sequence[dict[str, Tensor]]) -> Tensor:
    """Return the variance of each shallow channel over some batches, float32 ``(C,)``."""
    features = [teacher.eval().shallow(normalise(batch["image"])) for batch in batches]
    return torch.cat(features).transpose(0, 1).flatten(1).var(1)


def fisher_information(task: BackboneWithHeads, batches: Sequence[dict[str, Tensor]]) -> Tensor:
    """Return the mean squared gradient of the heads' loss by each shallow channel, float32 ``(C,)``."""
    task.eval()
    total = torch.zeros(task.backbone.channels[0])
    for batch in batches:
        with torch.no_grad():
            shallow = task.backbone.shallow(normalise(batch["image"]))
        shallow.requires_grad_(True)
        loss, _ = task.heads_loss(task.backbone.tail(shallow), batch)
        (gradient,) = torch.autograd.grad(loss, shallow)
        total += (gradient**2).mean((0, 2, 3))
    return total / len(batches)
