# SPDX-License-Identifier: Apache-2.0
"""The training loop: from a task and batches to a run's folder, in one session or several, one process or several."""

from __future__ import annotations

import math
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from frankensplit.errors import RecipeError
from frankensplit.training.data.batches import Batches
from frankensplit.training.loop import checkpoint
from frankensplit.training.loop.cost import RunCost
from frankensplit.training.loop.held_out import held_out_figures
from frankensplit.training.loop.journal import TrainingLog
from frankensplit.training.loop.sanity import overfit_one_batch
from frankensplit.training.loop.stepper import Stepper, seed_all
from frankensplit.training.recipe import Schedule
from frankensplit.training.tasks.base import Task, TrainingStopped


def fit(
    task: Task,
    batches: Batches,
    schedule: Schedule,
    run: Path,
    recipe: dict[str, Any],
    device: str,
    held_out: Batches | None = None,
) -> None:
    """Train a task, or go on from the run's checkpoint; the end is the same, on a CPU to the bit.

    Started by ``torchrun``, each process takes its share of every batch, and the first one alone writes. Up to
    rounding the result is that of one process, except that each process draws random numbers of its own, and that
    batch norm, and losses that are means over anything else than frames, see a share and not the batch.

    Args:
        task: the task, with its initial weights.
        batches: one batch a step.
        schedule: steps, learning rate and the like.
        run: folder of the run; gets ``checkpoint.pt``, ``log.csv``, ``tensorboard/``, ``run.json``,
            and what held-out frames and ``schedule.keep_every`` ask for.
        recipe: the recipe, as plain values; a checkpoint of another recipe is refused.
        device: see ``open_fabric``.
        held_out: frames kept apart from the training data, the same in every batch of the same number; all of them
            are judged at each checkpoint. Never validation data: figures on what a checkpoint was picked by are
            worth nothing.

    Raises:
        TrainingStopped: loss or gradient became NaN or infinite, or one batch could not be overfitted beforehand.
        RecipeError: the run folder belongs to another recipe, or the schedule asks for what is not there.
    """
    if schedule.keep == "best" and held_out is None:
        raise RecipeError(
            "schedule.keep is best, but no training frames are held out: take last, or hold some out"
        )
    run.mkdir(parents=True, exist_ok=True)
    session = _Session(task, batches, schedule, run, recipe, device, held_out)
    if session.state.step < schedule.steps:
        session.train()


class _Session:
    """What one call of ``fit`` does from the checkpoint, if there is one, to the end."""

    def __init__(
        self,
        task: Task,
        batches: Batches,
        schedule: Schedule,
        run: Path,
        recipe: dict[str, Any],
        device: str,
        held_out: Batches | None,
    ) -> None:
        self.batches, self.schedule, self.run, self.recipe = batches, schedule, run, recipe
        self.held_out = held_out
        self.stepper = Stepper(task, schedule, device)
        self.average = (
            AveragedModel(task, multi_avg_fn=get_ema_multi_avg_fn(schedule.ema)) if schedule.ema else None
        )
        self.state = checkpoint.resume(run, self.stepper, self.average, recipe)
        if self.state.step == 0:
            first = batches.loader(0, self.stepper.rank, self.stepper.world).dataset[0]
            overfit_one_batch(task, first, schedule, batches.seed, device)

    @property
    def task(self) -> Task:
        """The task whose weights count: the averaged one where there is one."""
        return cast(Task, self.average.module) if self.average else self.stepper.task

    def train(self) -> None:
        """Make all steps that are left."""
        stepper, schedule, first = self.stepper, self.schedule, self.state.step
        cost = RunCost(
            stepper.fabric.device,
            stepper.world,
            self.state.seconds,
            schedule.batch,
            stepper.task.samples_before,
        )
        writes = stepper.fabric.is_global_zero
        with TrainingLog(self.run, schedule.steps, first) if writes else nullcontext() as journal:
            loader = self.batches.loader(first, stepper.rank, stepper.world)
            for done, batch in enumerate(loader, start=first + 1):
                figures = self._step(batch, done - 1)
                cost.step_done()
                if journal:
                    journal.step(done - 1, figures)
                if done % schedule.checkpoint_every == 0 or done == schedule.steps:
                    self._checkpoint(done, journal, cost)
                if writes and schedule.keep_every and done % schedule.keep_every == 0:
                    checkpoint.save_weights(checkpoint.step_path(self.run, done), self.task, self.recipe)
                cost.pause()
        if writes:
            print(f"{self.run.name}: {cost.write(self.run, schedule.steps)}", file=sys.stderr)

    def _step(self, batch: dict[str, Tensor], step: int) -> dict[str, float]:
        seed_all(self.batches.seed, step, self.stepper.rank)
        try:
            rate, share = _learning_rate(self.schedule, step), step / self.schedule.steps
            figures = self.stepper.step(batch, rate, share)
        except TrainingStopped as err:
            raise TrainingStopped(
                f"step {step}: {err}. The batch holds the frames {self.batches.describe(step)}: look at them and their "
                f"labels, or lower the learning rate; {self.run} holds the first {self.state.step} steps"
            ) from err
        if self.average:
            self.average.update_parameters(self.stepper.task)
        return figures

    def _checkpoint(self, done: int, journal: TrainingLog | None, cost: RunCost) -> None:
        state, lower = self.state, False
        if self.held_out:
            figures = held_out_figures(self.stepper, self.task, self.held_out)
            lower = figures["loss"] < state.lowest
            state.lowest = min(figures["loss"], state.lowest)
            if journal:
                journal.held_out(done, figures)
        state.step, state.seconds = done, cost.seconds
        if journal:
            if lower and self.schedule.keep == "best":
                checkpoint.save_weights(self.run / checkpoint.BEST, self.task, self.recipe)
            checkpoint.save(self.run, self.stepper, self.average, self.recipe, state)
            journal.save()
            cost.write(self.run, done)


def _learning_rate(schedule: Schedule, step: int) -> float:
    if step < schedule.warmup:
        return schedule.lr * (step + 1) / schedule.warmup
    share = (step - schedule.warmup) / max(schedule.steps - schedule.warmup, 1)
    return schedule.final_lr + (schedule.lr - schedule.final_lr) * (1 + math.cos(math.pi * share)) / 2
