# SPDX-License-Identifier: Apache-2.0
"""Carry out a recipe: read its data, build its networks, fit them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from frankensplit.training.data.batches import Prepared
from frankensplit.training.loop.checkpoint import held, is_finished
from frankensplit.training.loop.engine import fit
from frankensplit.training.loop.processes import first_process_first
from frankensplit.training.recipe import AnyRecipe
from frankensplit.training.tasks.backbone_run import prepare_backbone, prepare_classify
from frankensplit.training.tasks.codec_run import prepare_codec
from frankensplit.training.tasks.head_run import prepare_head
from frankensplit.training.tasks.reroute_run import prepare_reroute
from frankensplit.training.where import Where

PREPARE: dict[str, Callable[[Any, Where], Prepared]] = {
    "classify": prepare_classify,
    "backbone": prepare_backbone,
    "codec": prepare_codec,
    "head": prepare_head,
    "reroute": prepare_reroute,
}


def train(recipe: AnyRecipe, where: Where) -> Path:
    """Train by a recipe, or go on with its run; return the run's folder, ``runs/NAME``.

    Started by ``torchrun``, the processes train together; the first one reads and prepares before the others.

    Raises:
        RecipeError: a run that it builds on is missing, or its folder belongs to another recipe.
        DataError: a data set cannot be read.
        OutputError: something else is in the run's folder, or another process trains there.
    """
    torch.manual_seed(recipe.seed)
    run, values = where.runs / recipe.name, recipe.model_dump(mode="json")
    if is_finished(run, values):
        return run
    with held(run):
        with first_process_first(where.device) as device:
            task, batches, held_out = PREPARE[recipe.task](recipe, where._replace(device=device))
        fit(task, batches, recipe.schedule, run, values, where.device, held_out)
    return run
