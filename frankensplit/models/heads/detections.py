# SPDX-License-Identifier: Apache-2.0
"""Detection by centre points (Zhou et al. 2019, "Objects as Points") at stride 8.

Ground truth are boxes, or the connected components of class masks: masks know no instances, so that cars that touch
in the picture are one box.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from frankensplit.data.truth import Boxes, Truth, TruthKind
from frankensplit.errors import DataError
from frankensplit.geometry import Geometry
from frankensplit.models.heads.base import Head, binary_divergence, classes_of
from frankensplit.models.heads.fusion import Fusion
from frankensplit.results import BoxesResult

WIDTH = 64
STRIDE = 8
MIN_AREA = 64  # pixels; smaller components are too small for stride 8, so they are not ground truth
MAX_BOXES = 48
SIZE_WEIGHT = 0.1
MAX_OVERLAP = 0.6  # IoU of two boxes of one class; a large object has several peaks


def true_boxes(truth: Truth, labels: dict[str, Any]) -> Boxes:
    """Return the boxes of a frame; raises DataError where its truth is of another kind."""
    if truth.boxes is not None:
        return truth.boxes
    if truth.mask is None or "mask_indices" not in labels:
        raise truth.lacks(*Detections.learns_from(labels))
    return boxes_from_mask(truth.mask, labels["mask_indices"])


def boxes_from_mask(mask: NDArray[np.uint8], mask_indices: Sequence[int]) -> Boxes:
    """Return the components of some classes of a mask, uint8 ``(H, W)``, as boxes; small ones are left out."""
    boxes, ids = [], []
    for class_id, index in enumerate(mask_indices):
        component = (mask == index).astype(np.uint8)
        count, _, stats, _ = cv2.connectedComponentsWithStats(component, connectivity=8)
        for x, y, w, h, area in stats[1:count]:
            if area >= MIN_AREA:
                boxes.append((x, y, x + w, y + h))
                ids.append(class_id)
    return Boxes.of(boxes, ids, (mask.shape[0], mask.shape[1]))


class Detections(Head):
    """Heat map of centres a class, and the four distances from the centre cell to the box's sides."""

    kind = "boxes"
    threshold = 0.3

    def __init__(self, channels: Sequence[int], labels: dict[str, Any], strides: Sequence[int]) -> None:
        super().__init__(channels, labels, strides)
        self.fusion = Fusion(channels, WIDTH, strides)
        self.tower = nn.Sequential(nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.ReLU())
        self.heat = _begin_at(-4.0, nn.Conv2d(WIDTH, len(self.classes), 1))  # few cells are centres
        self.sides = _begin_at(1.0, nn.Conv2d(WIDTH, 4, 1))

    @staticmethod
    def label_set(about: Mapping[str, Any], detect: Sequence[str]) -> dict[str, Any]:
        """Return the set's classes, or those of its masks that are to be boxes, in small letters."""
        known = {**classes_of(about), "max_overlap": MAX_OVERLAP}
        if not detect:
            return known
        unknown = [name for name in detect if name not in known["classes"]]
        if unknown:
            raise DataError(f"no class {unknown} to detect: the set's classes are {known['classes']}")
        indices = [known["classes"].index(name) for name in detect]
        colors = {"colors": [known["colors"][index] for index in indices]} if "colors" in known else {}
        classes = [name.lower() for name in detect]
        return {**known, "classes": classes, **colors, "mask_indices": indices}

    @staticmethod
    def learns_from(labels: dict[str, Any]) -> tuple[TruthKind, ...]:
        """Return boxes, and masks where ``mask_indices`` says which of their classes are boxes."""
        return ("boxes", "mask") if "mask_indices" in labels else ("boxes",)

    @staticmethod
    def targets(truth: Truth, labels: dict[str, Any]) -> dict[str, NDArray[Any]]:
        """Return heat ``(K, h, w)``, side lengths in cells ``(4, h, w)`` and their weights ``(h, w)``."""
        found = true_boxes(truth, labels)
        boxes, ids = found.corners, found.class_ids
        h, w = found.frame[0] // STRIDE, found.frame[1] // STRIDE
        heat = np.zeros((len(labels["classes"]), h, w), np.float32)
        sides = np.zeros((4, h, w), np.float32)
        weights = np.zeros((h, w), np.float32)
        order = np.argsort(-_areas(boxes))[:MAX_BOXES]  # small boxes last, so that they win shared cells
        for box, class_id in zip(boxes[order] / STRIDE, ids[order], strict=True):
            _draw(box, heat[class_id], sides, weights)
        return {"heat": heat, "sides": sides, "weights": weights}

    @staticmethod
    def truth(truth: Truth, labels: dict[str, Any]) -> BoxesResult:
        """Return the true boxes, each with score 1."""
        boxes = true_boxes(truth, labels)
        return BoxesResult(boxes.corners, boxes.class_ids, np.ones(len(boxes.class_ids), np.float32))

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return heat logits ``(N, K, H/8, W/8)`` and log side lengths in cells ``(N, 4, H/8, W/8)``."""
        y = self.tower(self.fusion(features))
        return self.heat(y), self.sides(y)

    def loss(self, raw: tuple[Tensor, Tensor], targets: dict[str, Tensor]) -> Tensor:
        """Return the penalty-reduced focal loss of the centres plus the L1 loss of the log side lengths."""
        heat, sides = raw[0].float(), raw[1].float()
        weights = targets["weights"].unsqueeze(1)
        side_loss = (weights * (sides - targets["sides"]).abs()).sum() / weights.sum().clamp(min=1)
        return _focal(heat, targets["heat"]) + SIZE_WEIGHT * side_loss

    def disagreement(self, raw: tuple[Tensor, Tensor], wanted: tuple[Tensor, Tensor]) -> Tensor:
        """Return the divergence of the heat, and the L1 distance of the log side lengths where the truth has heat.

        Over the wanted heat's sum, as the loss is over the number of centres.
        """
        heat = wanted[0].float().sigmoid()
        divergence = binary_divergence(raw[0], wanted[0]).sum() / heat.sum().clamp(min=1)
        weights = heat.amax(1, keepdim=True)
        distance = (weights * (raw[1].float() - wanted[1].float()).abs()).sum() / weights.sum().clamp(min=1)
        return divergence + SIZE_WEIGHT * distance

    def result(self, raw: tuple[Tensor, Tensor], geometry: Geometry) -> BoxesResult:
        """Return the boxes of all local maxima of at least a twentieth, best first; at most 48.

        Boxes that overlap a better one of their class by more than the labels' ``max_overlap`` are left out; labels
        without it, of bundles before version 0.2, leave all.
        """
        heat, sides = raw[0][0].float().sigmoid(), raw[1][0].float().clamp(max=6).exp()
        peaks = heat * (heat == F.max_pool2d(heat, 3, stride=1, padding=1))
        scores, flat = peaks.flatten().topk(min(MAX_BOXES, peaks.numel()))
        keep = scores >= 0.05
        scores, flat = scores[keep], flat[keep]
        cells = heat.shape[1] * heat.shape[2]
        ids, y, x = flat // cells, flat % cells // heat.shape[2], flat % heat.shape[2]
        left, top, right, bottom = sides[:, y, x]
        boxes = torch.stack((x + 0.5 - left, y + 0.5 - top, x + 0.5 + right, y + 0.5 + bottom), 1) * STRIDE
        source = geometry.boxes_to_source(boxes.cpu().numpy().astype(np.float32))
        found = BoxesResult(source, ids.cpu().numpy(), scores.cpu().numpy())
        limit = self.labels.get("max_overlap")
        return found if limit is None else _best_of(found, limit)


def _best_of(found: BoxesResult, max_overlap: float) -> BoxesResult:
    """Leave out boxes that overlap a better one of their class by more."""
    sized = np.concatenate((found.boxes[:, :2], found.boxes[:, 2:] - found.boxes[:, :2]), 1)
    kept = cv2.dnn.NMSBoxesBatched(
        sized.tolist(), found.scores.tolist(), found.class_ids.tolist(), 0.0, max_overlap
    )
    chosen = np.asarray(kept, np.int64).reshape(-1)
    return BoxesResult(found.boxes[chosen], found.class_ids[chosen], found.scores[chosen])


def _begin_at(value: float, conv: nn.Conv2d) -> nn.Conv2d:
    assert conv.bias is not None
    nn.init.constant_(conv.bias, value)
    return conv


def _areas(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


def _draw(
    box: NDArray[np.float32],
    heat: NDArray[np.float32],
    sides: NDArray[np.float32],
    weights: NDArray[np.float32],
) -> None:
    """Draw one box, given in cells: a Gaussian at its centre, side lengths in the 3x3 cells around it."""
    h, w = heat.shape
    cx, cy = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    column, row = min(int(cx), w - 1), min(int(cy), h - 1)
    sigma_x, sigma_y = max((box[2] - box[0]) / 8, 0.4), max((box[3] - box[1]) / 8, 0.4)
    xs, ys = np.arange(w) - column, np.arange(h) - row
    bump = np.exp(-(ys[:, None] ** 2) / (2 * sigma_y**2) - (xs[None, :] ** 2) / (2 * sigma_x**2))
    np.maximum(heat, bump.astype(np.float32), out=heat)
    for y in range(max(row - 1, 0), min(row + 2, h)):
        for x in range(max(column - 1, 0), min(column + 2, w)):
            lengths = np.array([x + 0.5 - box[0], y + 0.5 - box[1], box[2] - x - 0.5, box[3] - y - 0.5])
            sides[:, y, x] = np.log(np.maximum(lengths, 0.25))
            weights[y, x] = 1.0


def _focal(logits: Tensor, target: Tensor) -> Tensor:
    probability = logits.sigmoid().clamp(1e-4, 1 - 1e-4)
    centre = target >= 0.999
    positive = centre * (1 - probability) ** 2 * probability.log()
    negative = ~centre * (1 - target) ** 4 * probability**2 * (1 - probability).log()
    return -(positive + negative).sum() / centre.sum().clamp(min=1)


HEAD = Detections
