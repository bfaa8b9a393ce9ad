# SPDX-License-Identifier: Apache-2.0
"""Semantic segmentation: one class a pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from frankensplit.data.labels import UNLABELLED
from frankensplit.data.truth import Truth, TruthKind
from frankensplit.geometry import Geometry
from frankensplit.models.heads.base import Head, classes_of
from frankensplit.models.heads.fusion import Fusion
from frankensplit.results import MaskResult

WIDTH = 96
FINE = 48
BALANCE = 0.75  # 0: each pixel counts alike, 1: each class
MAX_CLASS_WEIGHT = 6.0
RAREST = 1e-9  # share of pixels; a share that was rounded to 0 would have no weight


class Segmentation(Head):
    """Logits at stride 4 from features of all strides; cross entropy weighted against class frequency."""

    kind = "mask"

    def __init__(self, channels: Sequence[int], labels: dict[str, Any], strides: Sequence[int]) -> None:
        super().__init__(channels, labels, strides)
        self.fusion = Fusion(channels, WIDTH, strides)
        self.grow = nn.Conv2d(WIDTH, 4 * FINE, 3, padding=1)
        self.refine = nn.Conv2d(FINE, FINE, 3, padding=1)
        self.classify = nn.Conv2d(FINE, len(self.classes), 1)
        self.ignore = int(labels["ignore"])
        frequency = np.maximum(np.asarray(labels["frequency"], dtype=np.float64), RAREST)
        weights = np.minimum((np.median(frequency) / frequency) ** BALANCE, MAX_CLASS_WEIGHT)
        self.register_buffer("class_weights", torch.tensor(weights, dtype=torch.float32), persistent=False)

    @staticmethod
    def label_set(about: Mapping[str, Any], detect: Sequence[str]) -> dict[str, Any]:
        """Return classes, colours, and the value of pixels without a class; ``frequency`` is counted later."""
        void = about.get("void_index")
        return {**classes_of(about), "ignore": UNLABELLED if void is None else void}

    @staticmethod
    def learns_from(labels: dict[str, Any]) -> tuple[TruthKind, ...]:
        """Return masks."""
        return ("mask",)

    @staticmethod
    def targets(truth: Truth, labels: dict[str, Any]) -> dict[str, NDArray[Any]]:
        """Return the mask itself."""
        return {"mask": truth.require_mask()}

    @staticmethod
    def truth(truth: Truth, labels: dict[str, Any]) -> MaskResult:
        """Return the mask itself, void included."""
        return MaskResult(truth.require_mask())

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return logits ``(N, K, H/4, W/4)``."""
        fine = torch.relu(F.pixel_shuffle(self.grow(self.fusion(features)), 2))
        result: Tensor = self.classify(torch.relu(self.refine(fine)) + fine)
        return result

    def loss(self, raw: Tensor, targets: dict[str, Tensor]) -> Tensor:
        """Return class-weighted cross entropy at full resolution, void ignored."""
        logits = F.interpolate(raw.float(), scale_factor=4, mode="bilinear", align_corners=False)
        mask = targets["mask"].long()
        weights: Any = self.class_weights
        return F.cross_entropy(logits, mask, weight=weights, ignore_index=self.ignore)

    def disagreement(self, raw: Tensor, wanted: Tensor) -> Tensor:
        """Return the Kullback-Leibler divergence from the wanted classes, mean over pixels."""
        found, truth = F.log_softmax(raw.float(), 1), F.log_softmax(wanted.float(), 1)
        return (truth.exp() * (truth - found)).sum(1).mean()

    def result(self, raw: Tensor, geometry: Geometry) -> MaskResult:
        """Return the likeliest class of each source pixel."""
        logits = F.interpolate(raw.float(), scale_factor=4, mode="bilinear", align_corners=False)
        mask = logits[0].argmax(0).to(torch.uint8).cpu().numpy()
        return MaskResult(geometry.mask_to_source(mask))


HEAD = Segmentation
