# SPDX-License-Identifier: Apache-2.0
"""The field's metric for each kind of head, by torchmetrics, in points of 0 to 100.

A metric is split in two: what one frame contributes (``frame``), and the value over frames (``value``), so that frames
can be measured in any process and drawn again for a bootstrap (``resampled``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from frankensplit.results import BoxesResult, ClassesResult, MaskResult, Result
from frankensplit.torchvision_import import import_torchvision

import_torchvision()  # must precede torchmetrics' own import; its docstring says why

Statistics = dict[str, NDArray[Any]]
IOU = 0.5
RECALLS = np.linspace(0, 1, 101)  # COCO's grid


class HeadMetric(ABC):
    """One head's metric; ``name`` is the field's name for it."""

    name: str

    @abstractmethod
    def frame(self, result: Result, truth: Result) -> Statistics:
        """Return what one frame contributes, as arrays."""

    @abstractmethod
    def resampled(self, frames: Sequence[Statistics], counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the metric of each draw ``(R,)``; ``counts`` ``(R, frames)`` says how often it has each frame."""

    def value(self, frames: Sequence[Statistics]) -> float:
        """Return the metric over all frames, 0 to 100."""
        return float(self.resampled(frames, np.ones((1, len(frames)), np.int64))[0])

    def details(self, frames: Sequence[Statistics]) -> dict[str, Any]:
        """Return further figures of the field, by name."""
        return {}

    def never(self, frames: Sequence[Statistics]) -> list[str]:
        """Return the classes that the truth of no frame has, where the metric can tell."""
        return []


class MeanIoU(HeadMetric):
    """Intersection over union, mean over the classes that occur in truth or prediction; void ignored."""

    name = "mIoU"

    def __init__(self, labels: dict[str, Any]) -> None:
        self.classes: list[str] = labels["classes"]
        self.ignore = int(labels["ignore"])

    def frame(self, result: Result, truth: Result) -> Statistics:
        """Return the confusion matrix, int64 ``(classes, classes)``, truth along the first axis."""
        from torchmetrics.functional.classification import multiclass_confusion_matrix

        assert isinstance(result, MaskResult) and isinstance(truth, MaskResult)
        found, wanted = torch.from_numpy(result.mask), torch.from_numpy(truth.mask)
        matrix = multiclass_confusion_matrix(
            found, wanted, len(self.classes), ignore_index=self.ignore, validate_args=False
        )
        return {"confusion": matrix.numpy()}

    def resampled(self, frames: Sequence[Statistics], counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return mIoU of each draw."""
        return np.asarray(np.nanmean(self._ious(frames, counts), axis=1))

    def details(self, frames: Sequence[Statistics]) -> dict[str, Any]:
        """Return each class's IoU; None for a class that never occurs."""
        ious = self._ious(frames, np.ones((1, len(frames)), np.int64))[0]
        per_class = zip(self.classes, ious, strict=True)
        return {
            "per_class": {name: None if np.isnan(iou) else round(float(iou), 2) for name, iou in per_class}
        }

    def never(self, frames: Sequence[Statistics]) -> list[str]:
        """Return the classes of which no pixel is."""
        pixels = np.sum([frame["confusion"].sum(1) for frame in frames], axis=0)
        return [name for name, count in zip(self.classes, pixels, strict=True) if not count]

    def _ious(self, frames: Sequence[Statistics], counts: NDArray[np.int64]) -> NDArray[np.float64]:
        matrices = np.tensordot(counts, np.stack([frame["confusion"] for frame in frames]), 1).astype(float)
        both = np.diagonal(matrices, axis1=1, axis2=2)
        union = matrices.sum(1) + matrices.sum(2) - both
        return 100 * both / np.where(union > 0, union, np.nan)


class AveragePrecision50(HeadMetric):
    """Mean average precision at IoU 0.5 by COCO's protocol, mean over the classes that the truth has."""

    name = "mAP50"

    def __init__(self, labels: dict[str, Any]) -> None:
        self.classes: list[str] = labels["classes"]
        self.count = len(self.classes)

    def frame(self, result: Result, truth: Result) -> Statistics:
        """Return boxes, class ids and scores of both, and which found box is a hit at IoU 0.5."""
        assert isinstance(result, BoxesResult) and isinstance(truth, BoxesResult)
        order = np.argsort(-result.scores, kind="stable")
        boxes, ids = result.boxes[order], result.class_ids[order]
        return {
            "boxes": boxes,
            "ids": ids,
            "scores": result.scores[order],
            "hits": _hits(boxes, ids, truth),
            "true_boxes": truth.boxes,
            "true_ids": truth.class_ids,
        }

    def value(self, frames: Sequence[Statistics]) -> float:
        """Return mAP50; 0 where there is no truth at all."""
        return self._coco(frames, [IOU])

    def details(self, frames: Sequence[Statistics]) -> dict[str, Any]:
        """Return COCO's mAP over the thresholds 0.5 to 0.95."""
        return {"mAP": round(self._coco(frames, None), 3)}

    def never(self, frames: Sequence[Statistics]) -> list[str]:
        """Return the classes of which no box is."""
        seen = {int(one) for frame in frames for one in frame["true_ids"]}
        return [name for index, name in enumerate(self.classes) if index not in seen]

    def resampled(self, frames: Sequence[Statistics], counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return mAP50 of each draw."""
        columns = [self._column(frames, class_id) for class_id in range(self.count)]
        return np.array([_mean_precision(columns, draw) for draw in counts])

    @staticmethod
    def _coco(frames: Sequence[Statistics], thresholds: list[float] | None) -> float:
        from torchmetrics.detection import MeanAveragePrecision

        metric = MeanAveragePrecision(iou_type="bbox", iou_thresholds=thresholds)
        for frame in frames:
            found = {"boxes": frame["boxes"], "labels": frame["ids"], "scores": frame["scores"]}
            wanted = {"boxes": frame["true_boxes"], "labels": frame["true_ids"]}
            tensors = [{k: torch.from_numpy(v) for k, v in boxes.items()} for boxes in (found, wanted)]
            metric.update([tensors[0]], [tensors[1]])
        return max(0.0, 100 * float(metric.compute()["map"]))

    @staticmethod
    def _column(frames: Sequence[Statistics], class_id: int) -> tuple[NDArray[Any], ...]:
        """Return of one class, best score first: frame and hit of each found box; and true boxes by frame."""
        of_class = [frame["ids"] == class_id for frame in frames]
        scores = np.concatenate([frame["scores"][mine] for frame, mine in zip(frames, of_class, strict=True)])
        hits = np.concatenate([frame["hits"][mine] for frame, mine in zip(frames, of_class, strict=True)])
        owners = np.repeat(np.arange(len(frames)), [mine.sum() for mine in of_class])
        order = np.argsort(-scores, kind="stable")
        truths = np.array([(frame["true_ids"] == class_id).sum() for frame in frames])
        return owners[order], hits[order], truths


def _hits(boxes: NDArray[np.float32], ids: NDArray[np.int64], truth: BoxesResult) -> NDArray[np.bool_]:
    """Say which found box, best first, takes a free true box of its class with an IoU of at least 0.5."""
    from torchvision.ops import box_iou

    overlaps = box_iou(torch.from_numpy(boxes).double(), torch.from_numpy(truth.boxes).double()).numpy()
    overlaps[ids[:, None] != truth.class_ids[None, :]] = 0
    hits = np.zeros(len(boxes), np.bool_)
    for row, overlap in enumerate(overlaps):
        best = int(overlap.argmax()) if overlap.size else -1
        if best >= 0 and overlap[best] >= IOU:
            hits[row] = True
            overlaps[:, best] = 0
    return hits


def _mean_precision(columns: Sequence[tuple[NDArray[Any], ...]], draw: NDArray[np.int64]) -> float:
    """Return mAP50 if each frame counts as often as it was drawn."""
    precisions = []
    for owners, hits, truths in columns:
        positives = int(draw @ truths)
        if positives:
            weights = draw[owners]
            true, all_found = np.cumsum(weights * hits), np.cumsum(weights)
            precision = np.maximum.accumulate((true / np.maximum(all_found, 1))[::-1])[::-1]
            at = np.searchsorted(true / positives, RECALLS)
            precisions.append(np.append(precision, 0.0)[at].mean())
    return 100 * float(np.mean(precisions)) if precisions else 0.0


class MultilabelF1(HeadMetric):
    """F1 over all decisions class present or not (micro), since some classes are in every frame."""

    name = "F1"

    def __init__(self, labels: dict[str, Any]) -> None:
        pass

    def frame(self, result: Result, truth: Result) -> Statistics:
        """Return true positives, false positives, and false negatives, int64 ``(3,)``."""
        from torchmetrics.functional.classification import binary_stat_scores

        assert isinstance(result, ClassesResult) and isinstance(truth, ClassesResult)
        found = torch.from_numpy(result.scores >= result.threshold).int()
        wanted = torch.from_numpy(truth.scores >= truth.threshold).int()
        return {"decisions": binary_stat_scores(found, wanted, validate_args=False).numpy()[[0, 1, 3]]}

    def resampled(self, frames: Sequence[Statistics], counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return F1 of each draw; 0 where nothing was present or found."""
        true, false, missed = (counts @ np.stack([frame["decisions"] for frame in frames])).T.astype(float)
        return np.asarray(100 * 2 * true / np.maximum(2 * true + false + missed, 1))


class Top1(HeadMetric):
    """Share of frames whose best-scored class is the true one, for a head whose classes exclude one another."""

    name = "top-1"

    def __init__(self, labels: dict[str, Any]) -> None:
        pass

    def frame(self, result: Result, truth: Result) -> Statistics:
        """Return 1 for a hit, int64 ``()``."""
        assert isinstance(result, ClassesResult) and isinstance(truth, ClassesResult)
        return {"hit": np.asarray(result.scores.argmax() == truth.scores.argmax(), np.int64)}

    def resampled(self, frames: Sequence[Statistics], counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return accuracy of each draw."""
        return np.asarray(100 * (counts @ np.stack([frame["hit"] for frame in frames])) / counts.sum(1))


METRICS: dict[str, type[Any]] = {"mask": MeanIoU, "boxes": AveragePrecision50, "classes": MultilabelF1}


def metric_for(kind: str, labels: dict[str, Any]) -> HeadMetric:
    """Return the metric of a kind of head; ``labels`` is the head's entry of ``labels.json``."""
    exclusive = kind == "classes" and labels.get("exclusive", False)
    metric: HeadMetric = (Top1 if exclusive else METRICS[kind])(labels)
    return metric
