# SPDX-License-Identifier: Apache-2.0
"""The field's metric for each kind of head, by torchmetrics, in points of 0 to 100."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch

from frankensplit.models.timm_import import import_torchvision
from frankensplit.results import BoxesResult, ClassesResult, MaskResult, Result

import_torchvision()  # before torchmetrics imports it, see there


class HeadMetric(ABC):
    """Collects results with their truth; ``name`` is the metric's."""

    name: str

    @abstractmethod
    def update(self, result: Result, truth: Result) -> None:
        """Add one frame."""

    @abstractmethod
    def value(self) -> float:
        """Return the metric over all frames, 0 to 100."""


class MeanIoU(HeadMetric):
    """Intersection over union, mean over the classes that occur in truth or prediction; void ignored."""

    name = "mIoU"

    def __init__(self, labels: dict[str, Any]) -> None:
        from torchmetrics.classification import MulticlassConfusionMatrix

        self.count = len(labels["classes"])
        self.matrix = MulticlassConfusionMatrix(
            self.count, ignore_index=labels["ignore"], validate_args=False
        )

    def update(self, result: Result, truth: Result) -> None:
        """Add one frame's mask."""
        assert isinstance(result, MaskResult) and isinstance(truth, MaskResult)
        self.matrix.update(torch.from_numpy(result.mask), torch.from_numpy(truth.mask))

    def per_class(self) -> list[float]:
        """Return each class's IoU, 0 to 100; NaN for a class that never occurs."""
        matrix = self.matrix.compute().double()
        union = matrix.sum(0) + matrix.sum(1) - matrix.diag()
        per_class: list[float] = (100 * matrix.diag() / union).tolist()
        return per_class

    def value(self) -> float:
        """Return mIoU."""
        return float(torch.tensor(self.per_class()).nanmean())


class AveragePrecision50(HeadMetric):
    """Mean average precision at IoU 0.5 (COCO's protocol)."""

    name = "mAP50"

    def __init__(self, labels: dict[str, Any]) -> None:
        from torchmetrics.detection import MeanAveragePrecision

        self.metric = MeanAveragePrecision(iou_type="bbox", iou_thresholds=[0.5])

    def update(self, result: Result, truth: Result) -> None:
        """Add one frame's boxes."""
        assert isinstance(result, BoxesResult) and isinstance(truth, BoxesResult)
        found = {"boxes": result.boxes, "labels": result.class_ids, "scores": result.scores}
        wanted = {"boxes": truth.boxes, "labels": truth.class_ids}
        tensors = [{k: torch.from_numpy(v) for k, v in boxes.items()} for boxes in (found, wanted)]
        self.metric.update([tensors[0]], [tensors[1]])

    def value(self) -> float:
        """Return mAP50; 0 where there is no truth at all."""
        return max(0.0, 100 * float(self.metric.compute()["map_50"]))


class MultilabelF1(HeadMetric):
    """F1 over all decisions class present or not (micro), since some classes are in every frame."""

    name = "F1"

    def __init__(self, labels: dict[str, Any]) -> None:
        from torchmetrics.classification import BinaryF1Score

        self.metric = BinaryF1Score()

    def update(self, result: Result, truth: Result) -> None:
        """Add one frame's classes."""
        assert isinstance(result, ClassesResult) and isinstance(truth, ClassesResult)
        found = torch.from_numpy(result.scores >= result.threshold).int()
        self.metric.update(found, torch.from_numpy(truth.scores >= 0.5).int())

    def value(self) -> float:
        """Return F1."""
        return 100 * float(self.metric.compute())


METRICS: dict[str, type[Any]] = {"mask": MeanIoU, "boxes": AveragePrecision50, "classes": MultilabelF1}


def metric_for(kind: str, labels: dict[str, Any]) -> HeadMetric:
    """Return the metric of a kind of head."""
    metric: HeadMetric = METRICS[kind](labels)
    return metric
