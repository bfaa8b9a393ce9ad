# SPDX-License-Identifier: Apache-2.0
"""One step of the optimiser: in the chosen precision, alike in all processes, never on numbers that are not finite."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import torch
from lightning_fabric.plugins import Precision
from torch import Tensor

from frankensplit.errors import RecipeError
from frankensplit.models.placement import place
from frankensplit.training.loop.processes import Autocast, open_fabric
from frankensplit.training.recipe import Schedule
from frankensplit.training.tasks.base import Task, TrainingStopped

LARGEST_GRADIENT = 5.0  # norm; longer ones are scaled down to it


class Stepper:
    """Makes steps of a task.

    Args:
        task: the task; it is moved to the device, and its weights change in place.
        schedule: learning rate, weight decay, precision.
        device: see ``open_fabric``.

    Raises:
        RecipeError: nothing of the task is trained, or the device cannot do it.
    """

    def __init__(self, task: Task, schedule: Schedule, device: str) -> None:
        self.fabric = open_fabric(device, schedule.precision)
        self.rank, self.world = self.fabric.global_rank, self.fabric.world_size
        groups = [
            {"params": wanted, "lr": schedule.lr, "factor": factor}
            for parameters, factor in task.learning_rates()
            if (wanted := [p for p in parameters if p.requires_grad])
        ]
        if not groups:
            raise RecipeError(f"{type(task).__name__} has no parameter to train: all are frozen")
        self.task = place(task, self.fabric.device)
        self.optimiser = torch.optim.AdamW(groups, weight_decay=schedule.weight_decay)
        self._model, self._optimiser = self.fabric.setup(task, self.optimiser, move_to_device=False)

    @property
    def precision(self) -> Precision:
        """The precision; its state is that of the loss scale, if there is one."""
        return self.fabric.strategy.precision

    def to_device(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the batch where the task is."""
        return {key: value.to(self.fabric.device, non_blocking=True) for key, value in batch.items()}

    def step(self, batch: dict[str, Tensor], rate: float, progress: float) -> dict[str, float]:
        """Make a step on this process's share of a batch; return the loss and figures, means over all processes.

        Raises:
            TrainingStopped: loss or gradient is not finite; the weights are as before.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["factor"]
        self.task.train()
        loss, figures = self._model(self.to_device(batch), progress)
        if not loss.requires_grad:
            raise TrainingStopped(
                f"the loss of {type(self.task).__name__} does not depend on what is trained"
            )
        self.optimiser.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        norm = self.fabric.clip_gradients(
            self._model, self._optimiser, max_norm=LARGEST_GRADIENT, error_if_nonfinite=False
        )
        found = torch.stack([loss.detach().float(), cast(Tensor, norm).float()]).tolist()
        means = self.mean({"loss": found[0], **figures, "gradient norm": found[1]})
        self._check(means)
        self._optimiser.step()
        del means["gradient norm"]
        return means

    def mean(self, figures: dict[str, float]) -> dict[str, float]:
        """Return each figure's mean over the processes."""
        if self.world == 1:
            return figures
        values = torch.tensor([*figures.values()], dtype=torch.float64, device=self.fabric.device)
        means = cast(Tensor, self.fabric.all_reduce(values, reduce_op="mean"))
        return dict(zip(figures, means.tolist(), strict=True))

    def _check(self, figures: dict[str, float]) -> None:
        overflow = isinstance(self.precision, Autocast) and self.precision.may_overflow
        wrong = [name for name in ("loss", "gradient norm") if not math.isfinite(figures[name])]
        if "loss" in wrong or (wrong and not overflow):
            raise TrainingStopped(
                f"{' and '.join(wrong)} not finite ({', '.join(f'{k} {v:.4g}' for k, v in figures.items())})"
            )


def seed_all(seed: int, step: int, rank: int) -> None:
    """Seed torch for one step of one process, so that what was drawn before it does not matter."""
    torch.manual_seed(int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0] >> 1))
