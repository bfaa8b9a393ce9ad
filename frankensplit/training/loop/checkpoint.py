# SPDX-License-Identifier: Apache-2.0
"""What a run keeps on disk: all that it needs to go on, and weights alone. Files are replaced whole."""

from __future__ import annotations

import io
import math
import os
import re
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from frankensplit.errors import RecipeError
from frankensplit.writing import FolderKind, kept_folder, write_file

if TYPE_CHECKING:
    from frankensplit.training.loop.stepper import (
        Stepper,  # brings Fabric, which those who only load do without
    )

CHECKPOINT = "checkpoint.pt"
BEST = "best.pt"
RUN = FolderKind(
    "run of a training",
    re.compile(
        r"(checkpoint|best|step-\d+)\.pt|(log|held-out)\.csv|curves\.png|run\.json|labels\.json"
        r"|tensorboard/[^/]+|codec/[^/]+"
    ),
    frozenset({"tensorboard", "codec"}),
)
# Entries of a schedule that do not change the result.
WATCHING = ("checkpoint_every", "keep_every", "sanity_steps")


def held(run: Path) -> AbstractContextManager[Any]:
    """Hold a run's folder against other trainings, in the process that writes it.

    Raises:
        OutputError: something else is there, another process trains it, or it may not be written.
    """
    return kept_folder(run, RUN) if os.environ.get("RANK", "0") == "0" else nullcontext()


@dataclass
class TrainingProgress:
    """How far a run is: steps done, seconds they took, the lowest held-out loss so far."""

    step: int = 0
    seconds: float = 0.0
    lowest: float = math.inf


def save_weights(path: Path, task: nn.Module, recipe: dict[str, Any]) -> None:
    """Write the weights of a task alone, and their recipe."""
    _write(path, {"weights": task.state_dict(), "recipe": recipe})


def save(
    run: Path,
    stepper: Stepper,
    average: AveragedModel | None,
    recipe: dict[str, Any],
    progress: TrainingProgress,
) -> None:
    """Write the checkpoint from which the run goes on."""
    state = {
        "recipe": recipe,
        "step": progress.step,
        "seconds": progress.seconds,
        "lowest": progress.lowest,
        "task": stepper.task.state_dict(),
        "average": average.module.state_dict() if average else None,
        "averaged": int(average.n_averaged) if average else 0,
        "optimiser": stepper.optimiser.state_dict(),
        "precision": stepper.precision.state_dict(),
    }
    _write(run / CHECKPOINT, state)


def resume(
    run: Path, stepper: Stepper, average: AveragedModel | None, recipe: dict[str, Any]
) -> TrainingProgress:
    """Go back to the run's checkpoint, if there is one.

    Raises:
        RecipeError: the run was begun by a recipe that trains something else, or the checkpoint is damaged.
    """
    if not (run / CHECKPOINT).exists():
        return TrainingProgress()
    state = _read(run / CHECKPOINT)
    old, new = _essence(state["recipe"]), _essence(recipe)
    if old != new:
        changed = sorted(k for k in {*old, *new} if old.get(k) != new.get(k))
        raise RecipeError(
            f"{run} was begun by a recipe that differs in {changed}: remove {run} to begin again, or restore the recipe"
        )
    try:
        stepper.task.load_state_dict(state["task"])
        stepper.optimiser.load_state_dict(state["optimiser"])
        stepper.precision.load_state_dict(state.get("precision", {}))
        if average:
            average.module.load_state_dict(state["average"])
            average.n_averaged.fill_(state["averaged"])
        return TrainingProgress(int(state["step"]), state.get("seconds", 0.0), state.get("lowest", math.inf))
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as err:  # torch's of other shapes
        raise _damaged(run / CHECKPOINT, f"{type(err).__name__}: {str(err)[:200]}") from err


def load_weights(
    run: Path, prefix: str = "", step: int | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the weights of a run (averaged where it averages) below a prefix, and its recipe.

    Args:
        run: folder of the run.
        prefix: only parameters whose names begin so, which is cut off.
        step: those after so many steps, which ``schedule.keep_every`` keeps; absent: the last, or the best on
            held-out training frames where the recipe says ``keep: best``.

    Raises:
        RecipeError: the run has no such weights, or they are damaged.
    """
    state = _read(_path(run, step))
    weights = state["weights"] if "weights" in state else state.get("average") or state["task"]
    if not isinstance(weights, dict):
        raise _damaged(_path(run, step), "its weights have no names")
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}, state["recipe"]


def is_finished(run: Path, recipe: dict[str, Any]) -> bool:
    """Tell whether a run by this recipe has made all its steps."""
    if not (run / CHECKPOINT).is_file():
        return False
    state = _read(run / CHECKPOINT)
    return _essence(state["recipe"]) == _essence(recipe) and state.get("step") == recipe["schedule"]["steps"]


def step_path(run: Path, step: int) -> Path:
    """Return where the weights after so many steps are kept."""
    return run / f"step-{step:06d}.pt"


def kept_steps(run: Path) -> list[int]:
    """Return the steps whose weights ``schedule.keep_every`` kept, in order."""
    return sorted(int(path.stem.removeprefix("step-")) for path in run.glob("step-*.pt"))


def _path(run: Path, step: int | None) -> Path:
    if step is not None:
        return step_path(run, step)
    return run / (BEST if (run / BEST).is_file() else CHECKPOINT)


def _essence(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe without what may change while a run goes on."""
    schedule = {k: v for k, v in recipe.get("schedule", {}).items() if k not in WATCHING}
    return {**recipe, "schedule": schedule}


def _write(path: Path, state: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_file(path, buffer.getbuffer())


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        kept = ", ".join(sorted(p.name for p in path.parent.glob("*.pt"))) or "none"
        raise RecipeError(f"no {path.name} in {path.parent} (checkpoints: {kept}): train that run first")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as err:  # pickle, zipfile and torch raise a dozen types on what is not a checkpoint
        reason = (str(err).splitlines() or [type(err).__name__])[0][:200]
        raise _damaged(path, reason) from err
    if (
        not isinstance(state, dict)
        or not isinstance(state.get("recipe"), dict)
        or not {"weights", "task"} & {*state}
    ):
        raise _damaged(path, "it lacks weights or their recipe")
    return state


def _damaged(path: Path, reason: str) -> RecipeError:
    return RecipeError(
        f"{path} is not a checkpoint, or a damaged one ({reason}): remove it to train from the beginning, or "
        "bring back a copy"
    )
