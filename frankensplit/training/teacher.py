# SPDX-License-Identifier: Apache-2.0
"""A finished backbone run, which teaches codecs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from frankensplit.errors import RecipeError
from frankensplit.models.backbone import Backbone, build_backbone
from frankensplit.models.heads import build_head
from frankensplit.models.heads.base import Head
from frankensplit.training.engine import load_weights
from frankensplit.training.recipe import BackboneRecipe, parse_recipe
from frankensplit.training.tasks import BackboneWithHeads

LABELS = "labels.json"


class Teacher(NamedTuple):
    """A finished backbone run: its networks, its recipe, and the labels of its heads."""

    task: BackboneWithHeads
    recipe: BackboneRecipe
    labels: dict[str, dict[str, Any]]


def load_teacher(run: Path) -> Teacher:
    """Read a finished backbone run.

    Raises:
        RecipeError: the run is missing or is no backbone run.
    """
    weights, values = load_weights(run)
    recipe = parse_recipe(values, str(run))
    if not isinstance(recipe, BackboneRecipe):
        raise RecipeError(f"{run} is a run of task {recipe.task!r}, expected 'backbone'")
    labels = json.loads((run / LABELS).read_text(encoding="utf-8"))
    backbone = build_backbone(recipe.backbone.model, **recipe.backbone.arguments)
    heads = build_heads(recipe, backbone, labels)
    task = BackboneWithHeads(backbone, heads, recipe.heads)
    task.load_state_dict(weights)
    return Teacher(task, recipe, labels)


def build_heads(
    recipe: BackboneRecipe, backbone: Backbone, labels: dict[str, dict[str, Any]]
) -> dict[str, Head]:
    """Build the heads of a backbone recipe for its backbone."""
    return {
        name: build_head(name, backbone.channels, labels[name], backbone.strides) for name in recipe.heads
    }
