# SPDX-License-Identifier: Apache-2.0
"""What every head provides: network, training targets from truth, loss, and results in source pixels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from frankensplit.data.truth import Truth, TruthKind
from frankensplit.errors import DataError
from frankensplit.geometry import Geometry
from frankensplit.results import Result


class Head(nn.Module, ABC):
    """One task.

    Args:
        channels: channels of the features, finest first.
        labels: the head's entry of ``labels.json``: ``classes`` and what else the task needs.
        strides: image pixels between neighbours of each feature: 8, 16, 32 in most families, 16, 16, 32 in Swin.
    """

    kind: ClassVar[str]  # "mask", "boxes" or "classes": which result it gives
    threshold: float = 0.0  # score from which a result counts; published with the labels

    def __init__(self, channels: Sequence[int], labels: dict[str, Any], strides: Sequence[int]) -> None:
        super().__init__()
        self.classes: list[str] = list(labels["classes"])
        self.labels = labels

    def take_classifier(self, classifier: nn.Module | None) -> None:
        """Take the backbone's own classifier, None where it was built without, for heads that use it."""

    @staticmethod
    @abstractmethod
    def label_set(about: Mapping[str, Any], detect: Sequence[str]) -> dict[str, Any]:
        """Return the head's entry of ``labels.json`` for training on a data set.

        Args:
            about: the set's own ``labels.json``: ``class_names``, perhaps ``class_colors_rgb`` and ``void_index``.
            detect: of a mask's classes, those whose connected parts are boxes.

        Raises:
            DataError: the set does not have what the head needs.
        """

    @staticmethod
    @abstractmethod
    def learns_from(labels: dict[str, Any]) -> tuple[TruthKind, ...]:
        """Return the kinds of truth that targets can be made of."""

    @staticmethod
    @abstractmethod
    def targets(truth: Truth, labels: dict[str, Any]) -> dict[str, NDArray[Any]]:
        """Return the training targets of one frame; arrays of a shape that its size fixes, stacked over a batch.

        Args:
            truth: of the frame, in the head's indices.
            labels: as for the head itself.

        Raises:
            DataError: the truth is of none of the kinds that the head learns from.
        """

    @staticmethod
    @abstractmethod
    def truth(truth: Truth, labels: dict[str, Any]) -> Result:
        """Return what a perfect head would give for a frame with this truth, in the frame's pixels.

        Raises:
            DataError: as ``targets``.
        """

    @abstractmethod
    def forward(self, features: Sequence[Tensor]) -> Any:
        """Map features to raw output."""

    @abstractmethod
    def loss(self, raw: Any, targets: dict[str, Tensor]) -> Tensor:
        """Return the mean loss of a batch, a scalar of about 1 at chance."""

    @abstractmethod
    def disagreement(self, raw: Any, wanted: Any) -> Tensor:
        """Return how far raw output is from another raw output that is taken as truth, a scalar, 0 for the same."""

    @abstractmethod
    def result(self, raw: Any, geometry: Geometry) -> Result:
        """Return the result of a batch of one image, in source pixels."""


def classes_of(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``classes`` of a data set, without the one that stands for none, and their ``colors``, if any.

    Raises:
        DataError: the value for pixels without a class lies between those of classes.
    """
    names, void = list(about["class_names"]), about.get("void_index")
    if void is not None and void < len(names) - 1:
        raise DataError(
            f"void_index of the set is {void}, expected a value behind those of its {len(names)} classes"
        )
    count = len(names) if void is None else min(len(names), void)
    colors = about.get("class_colors_rgb")
    return {"classes": names[:count], **({"colors": colors[:count]} if colors else {})}


def binary_divergence(logits: Tensor, wanted: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence of each probability from the wanted one, both given as logits."""
    found, truth = logits.float(), wanted.float()
    there = truth.sigmoid()
    differs: Tensor = there * (F.logsigmoid(truth) - F.logsigmoid(found))
    return differs + (1 - there) * (F.logsigmoid(-truth) - F.logsigmoid(-found))
