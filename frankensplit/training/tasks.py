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
        features = self.backbone(normalise(batch["image"]))
        losses: dict[str, Tensor] = {}
        for name, module in self.heads.items():
            head: Any = module
            targets = {k.split(".", 1)[1]: v for k, v in batch.items() if k.startswith(f"{name}.")}
            losses[name] = head.loss(head(features), targets)
        total = torch.stack([self.weights[name] * loss for name, loss in losses.items()]).sum()
        return total, {name: loss.item() for name, loss in losses.items()}


class Distil(Task):
    """Encoder, entropy model and blueprint against the shallow features of a frozen backbone (paper Eq. 10).

    Loss = mean over channels of squared error over the target's variance + weight * bits per input pixel; so the
    weight means the same for each batch size, resolution and backbone. The noisy latent feeds both the blueprint and
    the entropy model, as in the published code. The weight rises linearly over the first part of the run.
    """

    def __init__(
        self,
        teacher: Backbone,
        encoder: Encoder,
        prior: FactorizedPrior,
        blueprint: nn.Module,
        variance: Tensor,
        rate_weight: float,
        rate_warmup: float,
        density_lr: float,
    ) -> None:
        super().__init__()
        self.encoder, self.prior, self.blueprint = encoder, prior, blueprint
        self._teacher = [freeze(teacher)]  # in a list: no part of this module's state
        self.register_buffer("variance", variance.view(1, -1, 1, 1))
        self.rate_weight, self.rate_warmup, self.density_lr = rate_weight, rate_warmup, density_lr

    def loss(self, batch: dict[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        """Return distortion plus weighted rate, and both."""
        images = normalise(batch["image"])
        teacher: Any = self._teacher[0]
        with torch.no_grad():
            target = teacher.shallow(images).float()
        noisy, bits = self.prior(self.encoder(images))
        variance: Any = self.variance
        distortion = ((self.blueprint(noisy).float() - target) ** 2 / variance).mean()
        bpp = bits.mean() / (images.shape[-2] * images.shape[-1])
        weight = self.rate_weight * min(1.0, progress / self.rate_warmup) if self.rate_warmup else self.rate_weight
        return distortion + weight * bpp, {"distortion": distortion.item(), "bpp": bpp.item()}

    def learning_rates(self) -> list[tuple[list[nn.Parameter], float]]:
        """Return networks at the schedule's rate, densities faster; quantiles are fitted by bisection at export."""
        networks = [*self.encoder.parameters(), *self.blueprint.parameters()]
        return [(networks, 1.0), (self.prior.density_parameters(), self.density_lr)]


@torch.no_grad()
def channel_variance(teacher: Backbone, batches: Sequence[dict[str, Tensor]], device: str) -> Tensor:
    """Return the variance of each shallow channel over some batches, float32 ``(C,)``."""
    teacher = teacher.eval().to(device)
    features = [teacher.shallow(normalise(batch["image"].to(device))) for batch in batches]
    return torch.cat(features).transpose(0, 1).flatten(1).var(1)
