# SPDX-License-Identifier: Apache-2.0
"""Prepare re-routings, and read finished ones."""

from __future__ import annotations

from pathlib import Path

from frankensplit.models.backbone import freeze
from frankensplit.models.placement import place
from frankensplit.training.data.batches import Prepared, prepared
from frankensplit.training.data.pools import load_held_out, load_pool
from frankensplit.training.finished import load_run
from frankensplit.training.recipe import RerouteRecipe
from frankensplit.training.tasks.objectives import TaskLoss
from frankensplit.training.tasks.reroute import TrainReroute
from frankensplit.training.tasks.teacher import load_teacher
from frankensplit.training.where import Where


def prepare_reroute(recipe: RerouteRecipe, where: Where) -> Prepared:
    """Join the shallow layers of one backbone to the tail of another, and read the data."""
    task = build_reroute(recipe, where.runs)
    freeze(place(task.objective.teacher, where.device))
    labels = task.objective.teacher.labels
    pools = [load_pool(source, where.data_root, labels).pool for source in recipe.data]
    held_out = load_held_out(recipe.data, where.data_root, labels)
    return prepared(task, recipe, pools, held_out, labels)


def load_reroute(run: Path, step: int | None = None) -> TrainReroute:
    """Return the networks of a re-routing run, whose backbones' runs lie beside it.

    Raises:
        RecipeError: a run is missing or of another task.
    """
    weights, recipe = load_run(run, RerouteRecipe, step=step)
    task = build_reroute(recipe, run.parent)
    task.load_state_dict(weights)
    return task


def build_reroute(recipe: RerouteRecipe, runs: Path) -> TrainReroute:
    """Build the networks of a re-routing recipe."""
    source, target = (load_teacher(name, runs).task for name in (recipe.head_of, recipe.tail_of))
    return TrainReroute(source.backbone, TaskLoss(target))
