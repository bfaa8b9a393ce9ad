# SPDX-License-Identifier: Apache-2.0
"""Presence: which classes occupy at least 0.5 % of the frame (multi-label), or which one the frame is of.

Where boxes are known, a class occupies what its largest box does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from frankensplit.data.truth import Boxes, Truth, TruthKind
from frankensplit.geometry import Geometry
from frankensplit.models.heads.base import Head, binary_divergence, classes_of
from frankensplit.results import ClassesResult

MIN_SHARE = 0.005
WIDTH = 128


def present_classes(mask: NDArray[np.uint8], class_count: int) -> NDArray[np.bool_]:
    """Return for each class whether it covers at least 0.5 % of the mask's pixels, bool ``(class_count,)``."""
    counts = np.bincount(mask.ravel(), minlength=256)[:class_count]
    return np.asarray(counts >= MIN_SHARE * mask.size)


def present_boxes(boxes: Boxes, class_count: int) -> NDArray[np.bool_]:
    """Return for each class whether one of its boxes covers at least 0.5 % of the frame, bool ``(class_count,)``."""
    sides = boxes.corners[:, 2:] - boxes.corners[:, :2]
    large = sides.prod(1) >= MIN_SHARE * boxes.frame[0] * boxes.frame[1]
    return np.asarray(np.bincount(boxes.class_ids[large], minlength=class_count)[:class_count] > 0)


class Presence(Head):
    """Mean and maximum of local evidence over the image, for each class."""

    kind = "classes"
    threshold = 0.5

    def __init__(self, channels: Sequence[int], labels: dict[str, Any], strides: Sequence[int]) -> None:
        super().__init__(channels, labels, strides)
        self.project = nn.ModuleList(
            nn.Sequential(nn.GroupNorm(1, inputs), nn.Conv2d(inputs, WIDTH, 1), nn.GELU())
            for inputs in channels
        )
        self.classify = nn.Linear(2 * WIDTH * len(channels), len(self.classes))

    @staticmethod
    def label_set(about: Mapping[str, Any], detect: Sequence[str]) -> dict[str, Any]:
        """Return classes and colours."""
        return classes_of(about)

    @staticmethod
    def learns_from(labels: dict[str, Any]) -> tuple[TruthKind, ...]:
        """Return masks, boxes, and single classes, beside which no other counts as present."""
        return ("mask", "boxes", "label")

    @staticmethod
    def targets(truth: Truth, labels: dict[str, Any]) -> dict[str, NDArray[Any]]:
        """Return float32 ``(K,)`` of 0 and 1."""
        count = len(labels["classes"])
        if truth.label is not None:
            return {"present": np.eye(count, dtype=np.float32)[truth.label]}
        if truth.boxes is not None:
            return {"present": present_boxes(truth.boxes, count).astype(np.float32)}
        if truth.mask is None:
            raise truth.lacks(*Presence.learns_from(labels))
        return {"present": present_classes(truth.mask, count).astype(np.float32)}

    @staticmethod
    def truth(truth: Truth, labels: dict[str, Any]) -> ClassesResult:
        """Return scores of 0 and 1."""
        return ClassesResult(Presence.targets(truth, labels)["present"], Presence.threshold)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return logits ``(N, K)``."""
        pooled = []
        for project, feature in zip(self.project, features, strict=True):
            y = project(feature)
            pooled += [y.mean((2, 3)), y.amax((2, 3))]
        result: Tensor = self.classify(torch.cat(pooled, 1))
        return result

    def loss(self, raw: Tensor, targets: dict[str, Tensor]) -> Tensor:
        """Return the mean binary cross entropy."""
        return F.binary_cross_entropy_with_logits(raw.float(), targets["present"])

    def disagreement(self, raw: Tensor, wanted: Tensor) -> Tensor:
        """Return the binary Kullback-Leibler divergence from the wanted probabilities."""
        return binary_divergence(raw, wanted).mean()

    def result(self, raw: Tensor, geometry: Geometry) -> ClassesResult:
        """Return each class's probability."""
        return ClassesResult(raw[0].float().sigmoid().cpu().numpy(), self.threshold)


HEAD = Presence
