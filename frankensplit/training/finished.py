# SPDX-License-Identifier: Apache-2.0
"""Weights and recipe of a run, where only a run of one task will do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar, get_args

from torch import Tensor

from frankensplit.errors import RecipeError
from frankensplit.training.loop.checkpoint import load_weights
from frankensplit.training.recipe import Common, parse_recipe

R = TypeVar("R", bound=Common)


def load_run(
    run: Path, kind: type[R], prefix: str = "", step: int | None = None
) -> tuple[dict[str, Tensor], R]:
    """Return the weights of a run and its recipe; ``prefix`` and ``step`` are those of ``load_weights``.

    Raises:
        RecipeError: the run has no such weights, or is of another task.
    """
    weights, values = load_weights(run, prefix, step)
    recipe = parse_recipe(values, str(run))
    if not isinstance(recipe, kind):
        (expected,) = get_args(kind.model_fields["task"].annotation)
        raise RecipeError(f"{run} is a run of task {recipe.task!r}, expected {expected!r}")
    return weights, recipe


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file of a run.

    Raises:
        RecipeError: it is missing or damaged.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as err:
        raise RecipeError(f"cannot read {path} ({str(err)[:200]}): train that run again") from err
    if not isinstance(value, dict):
        raise RecipeError(f"{path} holds {type(value).__name__}, expected an object: train that run again")
    return value
