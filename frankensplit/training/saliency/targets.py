# SPDX-License-Identifier: Apache-2.0
"""The part of a head's output that a saliency map explains: one number per image, whose gradient gives the map.

Each kind of head has one function; a new kind adds its function to ``TARGETS``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from frankensplit.errors import BundleError, DataError

Labels = Sequence[int | None]


def head_scores(head: Any, raw: Any, labels: Labels) -> Tensor:
    """Return the number that the map of each image explains, float ``(N,)``.

    Args:
        head: gives ``kind``, ``threshold`` and ``labels`` as :class:`frankensplit.models.heads.base.Head` does.
        raw: its raw output for a batch.
        labels: true class of each image, None where there is none.

    Raises:
        BundleError: there is no target for heads of this kind.
    """
    if head.kind not in TARGETS:
        raise BundleError(
            f"no saliency target for heads of kind {head.kind!r}: there are {sorted(TARGETS)}; "
            "a new one is a function in frankensplit/training/saliency/targets.py"
        )
    return TARGETS[head.kind](head, raw, labels)


def class_scores(head: Any, raw: Tensor, labels: Labels) -> Tensor:
    """Return the logit of the true class, without one of the predicted class.

    A head whose classes do not exclude one another predicts all from its threshold on, at least the likeliest: the
    mean of their logits is taken.
    """
    likeliest = raw.argmax(1)
    if head.labels.get("exclusive"):
        predicted = likeliest.tolist()
        chosen = [mine if label is None else label for label, mine in zip(labels, predicted, strict=True)]
        _check_labels(chosen, raw.shape[1])
        return raw.gather(1, torch.tensor(chosen, device=raw.device).unsqueeze(1)).squeeze(1)
    present = raw.sigmoid() >= head.threshold
    present[torch.arange(len(raw)), likeliest] = True
    scores: Tensor = (raw * present).sum(1) / present.sum(1)
    return scores


def mask_scores(head: Any, raw: Tensor, labels: Labels) -> Tensor:
    """Return the mean over the predicted classes of the mean of the class's logit over the pixels it is predicted at.

    So a pedestrian counts as much as the road, of which there are a hundred times as many pixels.
    """
    logits, classes = (x.flatten(1) for x in raw.max(1))
    zeros = raw.new_zeros(raw.shape[:2])
    sums = zeros.scatter_add(1, classes, logits)
    counts = zeros.scatter_add(1, classes, torch.ones_like(logits))
    scores: Tensor = (sums / counts.clamp(min=1)).sum(1) / (counts > 0).sum(1)
    return scores


def box_scores(head: Any, raw: tuple[Tensor, ...], labels: Labels) -> Tensor:
    """Return the sum of the scores of all peaks from the head's threshold on; 0 where there are none.

    The raw output of heads of boxes begins with the logits of their heat map, ``(N, K, h, w)``.
    """
    heat = raw[0].sigmoid()
    peaks = (heat == F.max_pool2d(heat, 3, stride=1, padding=1)) & (heat >= head.threshold)
    scores: Tensor = (heat * peaks).sum((1, 2, 3))
    return scores


def _check_labels(labels: Sequence[int], count: int) -> None:
    wrong = next((label for label in labels if not 0 <= label < count), None)
    if wrong is not None:
        raise DataError(f"the true class is {wrong}, expected 0 to {count - 1}: the head has {count} classes")


TARGETS: dict[str, Callable[[Any, Any, Labels], Tensor]] = {
    "classes": class_scores,
    "mask": mask_scores,
    "boxes": box_scores,
}
