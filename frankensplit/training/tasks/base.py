# SPDX-License-Identifier: Apache-2.0
"""The contract of a training task: networks and one loss."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from frankensplit.errors import FrankensplitError


class TrainingStopped(FrankensplitError):
    """Numbers are not finite any more, or the first steps show that going on would be a waste."""


class Task(nn.Module, ABC):
    """What is trained: all parameters with ``requires_grad``, by one loss that is a mean over the batch."""

    samples_before = 0  # samples that the networks had seen before this run

    @abstractmethod
    def loss(self, batch: dict[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a batch and figures to log; ``progress`` is the share of the run done, 0..1."""

    def forward(self, batch: dict[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        """Return the loss; several processes can only be kept alike by way of ``forward``."""
        return self.loss(batch, progress)

    def learning_rates(self) -> list[tuple[list[nn.Parameter], float]]:
        """Return groups of parameters, each with its learning rate relative to the schedule's."""
        return [([p for p in self.parameters() if p.requires_grad], 1.0)]
