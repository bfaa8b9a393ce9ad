# SPDX-License-Identifier: Apache-2.0
"""Trainings of codecs: encoder, entropy model and blueprint together, or a blueprint for a finished codec."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from frankensplit.models.backbone import freeze
from frankensplit.models.encoder import Encoder, normalise
from frankensplit.models.entropy import FactorizedPrior
from frankensplit.training.recipe import Rate
from frankensplit.training.tasks.base import Task
from frankensplit.training.tasks.objectives import Objective


class TrainCodec(Task):
    """Encoder, entropy model and blueprint by an objective (paper Eq. 10: objective + weight * rate).

    The rate is in bits per input pixel, and its weight rises linearly over the first part of the run. The noisy
    latent feeds both the blueprint and the entropy model, as in the published code.

    Args:
        encoder, prior, blueprint: the networks.
        objective: what restored features are judged by.
        rate: weight of the bits.
        density_lr: learning rate of the densities, relative to the rest.
        levels: steps of further quality levels; the blueprint gets each training image with the noise of one of them,
            or of step 1, by chance. The rate is that of step 1.
    """

    def __init__(
        self,
        encoder: Encoder,
        prior: FactorizedPrior,
        blueprint: nn.Module,
        objective: Objective,
        rate: Rate,
        density_lr: float,
        levels: Sequence[float] = (),
    ) -> None:
        super().__init__()
        self.steps = (1.0, *levels)
        self.encoder, self.prior, self.blueprint = encoder, prior, blueprint
        self.objective, self.rate, self.density_lr = objective, rate, density_lr

    def loss(self, batch: dict[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        """Return objective plus weighted rate, and both."""
        images = normalise(batch["image"])
        latent = self.encoder(images)
        noisy, bits = self.prior(latent)
        if len(self.steps) > 1:
            noisy = latent + (noisy - latent) * draw_steps(self.steps, images)
        distortion = self.objective.loss(self.blueprint(noisy), batch)
        bpp = bits.mean() / (images.shape[-2] * images.shape[-1])
        risen = min(1.0, progress / self.rate.warmup) if self.rate.warmup else 1.0
        return distortion + self.rate.weight * risen * bpp, {
            "distortion": distortion.item(),
            "bpp": bpp.item(),
            **self.objective.figures,
        }

    def restore(self, images: Tensor) -> Tensor:
        """Map uint8 images ``(N, 3, H, W)`` to the shallow features that their packets bring."""
        latent = rounded(self.encoder(normalise(images)), self.prior.medians.view(1, -1, 1, 1))
        features: Tensor = self.blueprint(latent)
        return features

    def learning_rates(self) -> list[tuple[list[nn.Parameter], float]]:
        """Return networks at the schedule's rate, densities faster; quantiles are fitted by bisection at export."""
        networks = [*self.encoder.parameters(), *self.blueprint.parameters()]
        return [(networks, 1.0), (self.prior.density_parameters(), self.density_lr)]


class TrainBlueprint(Task):
    """A blueprint alone, for an encoder and entropy model that are finished and stay as they are (paper 6.3.6).

    Args:
        encoder: the finished encoder.
        medians: float ``(C,)``, what the codec subtracts before rounding.
        blueprint: the network to train.
        objective: what it is trained by.
        levels: steps of further quality levels; each training image is coded at one of them or at step 1, by chance.
    """

    def __init__(
        self,
        encoder: Encoder,
        medians: Tensor,
        blueprint: nn.Module,
        objective: Objective,
        levels: Sequence[float] = (),
    ) -> None:
        super().__init__()
        self.steps = (1.0, *levels)
        freeze(encoder)
        self.encoder, self.blueprint, self.objective = encoder, blueprint, objective
        self.medians: Tensor
        self.register_buffer("medians", medians.view(1, -1, 1, 1))

    def restore(self, images: Tensor) -> Tensor:
        """Map uint8 images ``(N, 3, H, W)`` to the shallow features that their packets bring."""
        return self._restore(images, 1.0)

    def _restore(self, images: Tensor, step: Tensor | float) -> Tensor:
        with torch.no_grad():
            latent = rounded(self.encoder(normalise(images)), self.medians, step)
        features: Tensor = self.blueprint(latent)
        return features

    def loss(self, batch: dict[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        """Return the objective."""
        images = batch["image"]
        distortion = self.objective.loss(self._restore(images, draw_steps(self.steps, images)), batch)
        return distortion, {"distortion": distortion.item(), **self.objective.figures}


def draw_steps(steps: Sequence[float], images: Tensor) -> Tensor:
    """Return one of the steps for each image, by chance, float32 ``(N, 1, 1, 1)``."""
    chosen = torch.randint(len(steps), (len(images), 1, 1, 1), device=images.device)
    return torch.tensor(steps, device=images.device)[chosen]


def rounded(latent: Tensor, medians: Tensor, step: Tensor | float = 1.0) -> Tensor:
    """Return a latent as packets bring it: rounded about the medians by a level's step, which broadcast; float32."""
    return torch.round((latent.float() - medians) / step) * step + medians
