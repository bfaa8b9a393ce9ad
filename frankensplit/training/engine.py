# SPDX-License-Identifier: Apache-2.0
"""The training loop: schedule, mixed precision, averaged weights, atomic checkpoints, resume."""

from __future__ import annotations

import csv
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from frankensplit.errors import FrankensplitError, RecipeError
from frankensplit.models.placement import place
from frankensplit.progress import Meter
from frankensplit.training.batches import Batches
from frankensplit.training.recipe import Schedule

CHECKPOINT = "checkpoint.pt"


class TrainingStopped(FrankensplitError):
    """The loss is not finite any more."""


class Task(nn.Module, ABC):
    """What is trained: all parameters with ``requires_grad``, by one loss."""

    @abstractmethod
    def loss(self, batch: dict[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a batch and figures to log; ``progress`` is the share of the run done, 0..1."""

    def learning_rates(self) -> list[tuple[list[nn.Parameter], float]]:
        """Return groups of parameters, each with its learning rate relative to the schedule's."""
        return [([p for p in self.parameters() if p.requires_grad], 1.0)]


def fit(
    task: Task, batches: Batches, schedule: Schedule, run: Path, recipe: dict[str, Any], device: str
) -> None:
    """Train a task, or go on from the run's checkpoint; the last state is the result, none is picked.

    Args:
        task: the task, with its initial weights.
        batches: one batch a step.
        schedule: steps, learning rate and the like.
        run: folder of the run; gets ``checkpoint.pt`` and ``log.csv``.
        recipe: the recipe, as plain values; a checkpoint of another recipe is refused.
        device: ``cpu`` or ``cuda``.

    Raises:
        TrainingStopped: the loss became NaN or infinite.
        RecipeError: the run folder belongs to another recipe.
    """
    run.mkdir(parents=True, exist_ok=True)
    place(task, device)
    groups = [{"params": p, "lr": schedule.lr, "factor": factor} for p, factor in task.learning_rates() if p]
    optimiser = torch.optim.AdamW(groups, weight_decay=schedule.weight_decay)
    average = AveragedModel(task, multi_avg_fn=get_ema_multi_avg_fn(schedule.ema)) if schedule.ema else None
    first = _resume(run, task, average, optimiser, recipe)
    with Meter(recipe["name"], schedule.steps, first) as meter, _log(run, first) as log:
        for step, batch in enumerate(batches.loader(first), start=first):
            figures = _step(task, batch, optimiser, schedule, step, device)
            if average:
                average.update_parameters(task)
            log(step, figures)
            meter.advance(" ".join(f"{k} {v:.4g}" for k, v in figures.items()))
            if (step + 1) % schedule.checkpoint_every == 0 or step + 1 == schedule.steps:
                _save(run, task, average, optimiser, recipe, step + 1)


def load_weights(run: Path, prefix: str = "") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the weights of a run (averaged where it averages) below a prefix, and its recipe.

    Raises:
        RecipeError: the run has no checkpoint.
    """
    state = _read(run)
    weights = state["average"] or state["task"]
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}, state["recipe"]


def _step(
    task: Task,
    batch: dict[str, Tensor],
    optimiser: torch.optim.Optimizer,
    schedule: Schedule,
    step: int,
    device: str,
) -> dict[str, float]:
    rate = _learning_rate(schedule, step)
    for group in optimiser.param_groups:
        group["lr"] = rate * group["factor"]
    batch = {key: value.to(device, non_blocking=True) for key, value in batch.items()}
    task.train()
    with torch.autocast(device.split(":")[0], dtype=torch.bfloat16, enabled=schedule.precision == "bf16"):
        loss, figures = task.loss(batch, step / schedule.steps)
    if not torch.isfinite(loss):
        raise TrainingStopped(
            f"loss is {loss.item()} at step {step} (batch {step} of this seed; {figures}): lower the learning rate"
        )
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_([p for g in optimiser.param_groups for p in g["params"]], 5.0)
    optimiser.step()
    return {"loss": loss.item(), **figures}


def _learning_rate(schedule: Schedule, step: int) -> float:
    if step < schedule.warmup:
        return schedule.lr * (step + 1) / schedule.warmup
    share = (step - schedule.warmup) / max(schedule.steps - schedule.warmup, 1)
    return schedule.final_lr + (schedule.lr - schedule.final_lr) * (1 + math.cos(math.pi * share)) / 2


def _save(
    run: Path,
    task: Task,
    average: AveragedModel | None,
    optimiser: torch.optim.Optimizer,
    recipe: dict[str, Any],
    step: int,
) -> None:
    state = {
        "step": step,
        "recipe": recipe,
        "task": task.state_dict(),
        "average": average.module.state_dict() if average else None,
        "averaged": int(average.n_averaged) if average else 0,
        "optimiser": optimiser.state_dict(),
    }
    temporary = run / f".{CHECKPOINT}.{os.getpid()}"
    torch.save(state, temporary)
    temporary.replace(run / CHECKPOINT)


def _resume(
    run: Path,
    task: Task,
    average: AveragedModel | None,
    optimiser: torch.optim.Optimizer,
    recipe: dict[str, Any],
) -> int:
    if not (run / CHECKPOINT).exists():
        return 0
    state = _read(run)
    if state["recipe"] != recipe:
        changed = sorted(k for k in {*state["recipe"], *recipe} if state["recipe"].get(k) != recipe.get(k))
        raise RecipeError(
            f"{run} was begun by a recipe that differs in {changed}: take another --out, or remove it"
        )
    task.load_state_dict(state["task"])
    optimiser.load_state_dict(state["optimiser"])
    if average:
        average.module.load_state_dict(state["average"])
        average.n_averaged.fill_(state["averaged"])
    return int(state["step"])


def _read(run: Path) -> dict[str, Any]:
    path = run / CHECKPOINT
    if not path.is_file():
        raise RecipeError(f"no checkpoint in {run}: train that run first")
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


@contextmanager
def _log(run: Path, first: int) -> Iterator[Any]:
    """Yield a function that appends a row to ``log.csv``; rows from ``first`` on, of a lost end, are removed."""
    path = run / "log.csv"
    rows = path.read_text(encoding="utf-8").splitlines()[: first + 1] if path.exists() and first else []
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(f"{row}\n" for row in rows)
        writer = csv.writer(file)

        def write(step: int, figures: dict[str, float]) -> None:
            if step == 0:
                writer.writerow(["step", *figures])
            writer.writerow([step, *(f"{value:.6g}" for value in figures.values())])
            file.flush()

        yield write
