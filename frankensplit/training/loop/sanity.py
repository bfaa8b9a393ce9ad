# SPDX-License-Identifier: Apache-2.0
"""Check that the task can overfit one batch, before a training spends hours."""

from __future__ import annotations

import copy
import sys

import torch
from torch import Tensor

from frankensplit.training.loop.stepper import Stepper, seed_all
from frankensplit.training.recipe import Schedule
from frankensplit.training.tasks.base import Task, TrainingStopped

WORTH_CHECKING = 10  # a run gets the check if its steps are at least this many times the check's
FALLEN = 0.9  # share of the first loss that the loss must fall below
KNOWLEDGE = 1.5  # times the first loss: shuffling weights that were trained raises the loss so far
SHUFFLES = 3  # several, because one may raise the loss by chance

ADVICE = "look at the labels, the learning rate, and which parameters are frozen"


def overfit_one_batch(
    task: Task, batch: dict[str, Tensor], schedule: Schedule, seed: int, device: str
) -> None:
    """Train a copy of the task on one batch and see its loss fall; the task itself stays as it is.

    Every step draws the same random numbers, so noise and dropped paths neither hide a fall nor feign one. A loss that
    does not fall to 0.9 of the first passes in one case: when shuffling the weights, each tensor for itself, makes it
    1.5 times as large each of three times. Then they were good from the start, as in a run that goes on from another's.

    Args:
        task: the task with its initial weights.
        batch: this process's share of a batch.
        schedule: learning rate and ``sanity_steps``.
        seed: of the run.
        device: see ``open_fabric``.

    Raises:
        TrainingStopped: the loss did not fall, or became NaN or infinite.
    """
    steps = schedule.sanity_steps
    if not steps or schedule.steps < WORTH_CHECKING * steps:
        return
    trial = Stepper(copy.deepcopy(task), schedule, device)
    losses = []
    for step in range(steps):
        seed_all(seed, 0, trial.rank)
        try:
            losses.append(trial.step(batch, schedule.lr, progress=0.0)["loss"])
        except TrainingStopped as err:
            raise TrainingStopped(f"{err} in step {step} of overfitting the first batch; {ADVICE}") from err
    tail = losses[-max(steps // 5, 1) :]
    first, last = losses[0], sum(tail) / len(tail)
    if not last < FALLEN * first and not _knows(task, trial, batch, first, seed):
        raise TrainingStopped(
            f"overfitting the first batch for {steps} steps took the loss from {first:.4g} to {last:.4g}, expected "
            f"below {FALLEN * first:.4g}; {ADVICE}, or set schedule.sanity_steps to 0"
        )
    if trial.rank == 0:
        print(f"overfitting one batch: loss {first:.4g} to {last:.4g} in {steps} steps", file=sys.stderr)


@torch.no_grad()
def _knows(task: Task, trial: Stepper, batch: dict[str, Tensor], first: float, seed: int) -> bool:
    """Return whether the task's initial weights do much better than the same ones shuffled, in each of some trials."""
    return all(
        not _shuffled_loss(task, trial, batch, seed, attempt) <= KNOWLEDGE * first
        for attempt in range(SHUFFLES)
    )


def _shuffled_loss(task: Task, trial: Stepper, batch: dict[str, Tensor], seed: int, attempt: int) -> float:
    seed_all(seed, attempt, 0)  # alike in all processes
    for shuffled, initial in zip(trial.task.parameters(), task.parameters(), strict=True):
        order = torch.randperm(initial.numel()).to(initial.device)
        shuffled.copy_(initial.flatten()[order].view_as(initial))
    seed_all(seed, 0, trial.rank)
    with trial.fabric.autocast():
        loss, _ = trial.task.loss(trial.to_device(batch), 0.0)
    return trial.mean({"loss": loss.item()})["loss"]
