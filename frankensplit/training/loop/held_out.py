# SPDX-License-Identifier: Apache-2.0
"""The loss of training frames that are kept apart, at each checkpoint."""

from __future__ import annotations

import math

import torch

from frankensplit.training.data.batches import Batches
from frankensplit.training.loop.stepper import Stepper, seed_all
from frankensplit.training.tasks.base import Task, TrainingStopped


@torch.no_grad()
def held_out_figures(stepper: Stepper, task: Task, batches: Batches) -> dict[str, float]:
    """Return the mean loss and figures of a task over all held-out batches, each drawn as it always is.

    Args:
        stepper: gives device, precision, and this process's share.
        task: the task, or its averaged copy; judged in evaluation mode, as at the end of a run.
        batches: the held-out batches.

    Raises:
        TrainingStopped: the loss of a batch is not finite.
    """
    task.eval()
    sums: dict[str, float] = {}
    for index, batch in enumerate(batches.loader(0, stepper.rank, stepper.world)):
        seed_all(batches.seed, index, stepper.rank)
        with stepper.fabric.autocast():
            loss, figures = task.loss(stepper.to_device(batch), 1.0)
        found = stepper.mean({"loss": loss.item(), **figures})
        if not math.isfinite(found["loss"]):
            raise TrainingStopped(f"loss is {found['loss']} on held-out frames: {batches.describe(index)}")
        sums = {name: sums.get(name, 0.0) + value for name, value in found.items()}
    return {name: value / len(batches) for name, value in sums.items()}
