# SPDX-License-Identifier: Apache-2.0
"""Training of one more head for a finished bundle, of which nothing else changes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from frankensplit.bundle import Bundle
from frankensplit.models.backbone import freeze
from frankensplit.models.encoder import normalise
from frankensplit.models.from_bundle import load_backbone, load_blueprint
from frankensplit.models.heads.base import Head
from frankensplit.models.onnx_graph import read_encoder
from frankensplit.models.placement import place
from frankensplit.training.tasks.backbone import head_targets, plain_layout
from frankensplit.training.tasks.base import Task
from frankensplit.training.tasks.codec import rounded


class BundleFeatures:
    """A bundle's frozen networks up to its heads. No module, so that no run stores them again.

    Args:
        bundle: a verified bundle.
        device: torch device.

    Raises:
        BundleError: the weights do not fit the networks that the manifest names.
    """

    def __init__(self, bundle: Bundle, device: str) -> None:
        self.backbone = load_backbone(bundle)
        self.blueprint, medians = load_blueprint(bundle, self.backbone)
        self.encoder, _ = read_encoder(bundle.codec.encoder_path, bundle.codec.manifest["encoder"])
        self.medians = medians.view(1, -1, 1, 1).to(device)
        for module in (self.backbone, self.blueprint, self.encoder):
            place(freeze(module), device)

    @torch.no_grad()
    def clean(self, images: Tensor) -> list[Tensor]:
        """Map uint8 images ``(N, 3, H, W)`` to the unmodified backbone's features, finest first."""
        return plain_layout(self.backbone(self.backbone.normalise(images)))

    @torch.no_grad()
    def compressed(self, images: Tensor) -> list[Tensor]:
        """Map uint8 images to the features that their packets bring, finest first."""
        latent = rounded(self.encoder(normalise(images)), self.medians)
        return plain_layout(self.backbone.tail(self.blueprint(latent)))


class TrainHead(Task):
    """A head on frozen features.

    Args:
        features: uint8 images ``(N, 3, H, W)`` to features.
        head: the network to train.
        name: its name among the bundle's heads.
    """

    def __init__(self, features: Callable[[Tensor], list[Tensor]], head: Head, name: str) -> None:
        super().__init__()
        self.features, self.head, self.name = features, head, name

    def loss(self, batch: dict[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        """Return the head's loss."""
        features = self.features(batch["image"])
        loss = self.head.loss(self.head(features), head_targets(batch, self.name))
        return loss, {}
