# SPDX-License-Identifier: Apache-2.0
"""Classification: the one class of the frame, of classes that exclude one another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from frankensplit.data.truth import Truth, TruthKind
from frankensplit.geometry import Geometry
from frankensplit.models.heads.base import Head, classes_of
from frankensplit.results import ClassesResult

STAGES = 2  # the deepest features that are pooled
SMOOTHING = 0.1


class Classification(Head):
    """A linear map of the means of the two deepest features; its labels have ``"exclusive": true``."""

    kind = "classes"
    threshold = 0.5

    def __init__(self, channels: Sequence[int], labels: dict[str, Any], strides: Sequence[int]) -> None:
        super().__init__(channels, labels, strides)
        self.norms = nn.ModuleList(nn.LayerNorm(inputs) for inputs in channels[-STAGES:])
        self.classify = nn.Linear(sum(channels[-STAGES:]), len(self.classes))
        self.scale = math.log(max(len(self.classes), 2))  # the cross entropy of a guess

    @staticmethod
    def label_set(about: Mapping[str, Any], detect: Sequence[str]) -> dict[str, Any]:
        """Return classes that exclude one another."""
        return {**classes_of(about), "exclusive": True}

    @staticmethod
    def learns_from(labels: dict[str, Any]) -> tuple[TruthKind, ...]:
        """Return classes of whole frames."""
        return ("label",)

    @staticmethod
    def targets(truth: Truth, labels: dict[str, Any]) -> dict[str, NDArray[Any]]:
        """Return the class, int64 ``()``."""
        return {"label": np.asarray(truth.require_label(), np.int64)}

    @staticmethod
    def truth(truth: Truth, labels: dict[str, Any]) -> ClassesResult:
        """Return 1 for the class of the frame, 0 for the others."""
        scores = np.eye(len(labels["classes"]), dtype=np.float32)[truth.require_label()]
        return ClassesResult(scores, Classification.threshold)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return logits ``(N, K)``."""
        means = [feature.mean((2, 3)) for feature in features[-STAGES:]]
        pooled = [norm(mean) for norm, mean in zip(self.norms, means, strict=True)]
        result: Tensor = self.classify(torch.cat(pooled, 1))
        return result

    def loss(self, raw: Tensor, targets: dict[str, Tensor]) -> Tensor:
        """Return the cross entropy with smoothed labels, over that of a guess."""
        return F.cross_entropy(raw.float(), targets["label"], label_smoothing=SMOOTHING) / self.scale

    def disagreement(self, raw: Tensor, wanted: Tensor) -> Tensor:
        """Return the Kullback-Leibler divergence from the wanted classes, on the scale of the loss."""
        found, truth = F.log_softmax(raw.float(), 1), F.log_softmax(wanted.float(), 1)
        return (truth.exp() * (truth - found)).sum(1).mean() / self.scale

    def result(self, raw: Tensor, geometry: Geometry) -> ClassesResult:
        """Return each class's probability; together they are 1."""
        return ClassesResult(raw[0].float().softmax(0).cpu().numpy(), self.threshold)


HEAD = Classification
