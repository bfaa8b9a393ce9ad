# SPDX-License-Identifier: Apache-2.0
"""The classifier that the backbone was trained with, such as ImageNet's 1000 classes; nothing of it is trained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from frankensplit.errors import BundleError
from frankensplit.models.heads.base import Head
from frankensplit.models.heads.classification import Classification


class BackboneClassifier(Classification):
    """The backbone's own pooling and classifier in the shape of a head, without weights of its own."""

    def __init__(self, channels: Sequence[int], labels: dict[str, Any], strides: Sequence[int]) -> None:
        Head.__init__(self, channels, labels, strides)
        self.scale = math.log(max(len(self.classes), 2))
        # A tuple hides the module from torch: its weights are stored with the backbone, once.
        self._classifier: tuple[nn.Module, ...] = ()

    def take_classifier(self, classifier: nn.Module | None) -> None:
        """Take the backbone's classifier.

        Raises:
            BundleError: the backbone was built without one.
        """
        if classifier is None:
            raise BundleError(
                f"a head of kind 'backbone_classifier' needs the backbone's own classifier: build it with "
                f"num_classes: {len(self.classes)}"
            )
        outputs = [
            _outputs(part) for part in classifier.modules() if isinstance(part, (nn.Linear, nn.Conv2d))
        ]
        if outputs[-1:] != [len(self.classes)]:
            raise BundleError(
                f"the backbone's own classifier has {outputs[-1] if outputs else 'no'} classes, its labels "
                f"{len(self.classes)}: give num_classes and labels that agree"
            )
        self._classifier = (classifier,)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return logits ``(N, K)``."""
        (classifier,) = self._classifier
        result: Tensor = classifier(features[-1])
        return result


def _outputs(layer: nn.Linear | nn.Conv2d) -> int:
    return layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels


HEAD = BackboneClassifier
