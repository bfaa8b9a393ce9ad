# SPDX-License-Identifier: Apache-2.0
"""A trained backbone with its heads, from its run or from a bundle: what codecs, blueprints and heads learn from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from frankensplit.bundle import Bundle
from frankensplit.errors import BundleError, RecipeError
from frankensplit.models.backbone import Backbone, build_backbone
from frankensplit.models.from_bundle import load_backbone, load_heads
from frankensplit.models.heads import build_head
from frankensplit.models.heads.base import Head
from frankensplit.training.checkpoint import CHECKPOINT
from frankensplit.training.finished import load_run
from frankensplit.training.recipe import BackboneRecipe, BackboneSpec
from frankensplit.training.tasks import BackboneWithHeads

LABELS = "labels.json"


class Teacher(NamedTuple):
    """A trained backbone with heads: its name, networks, how the backbone is built, and the labels of its heads."""

    name: str
    task: BackboneWithHeads
    backbone: BackboneSpec
    labels: dict[str, dict[str, Any]]


def load_teacher(name: str, runs: Path) -> Teacher:
    """Read a finished backbone run by its name in ``runs``, or else a bundle by folder or installed name.

    Raises:
        RecipeError: there is neither, or the run is no backbone run.
        BundleError: the bundle is damaged.
    """
    if (runs / name / CHECKPOINT).is_file():
        return teacher_of_run(runs / name)
    try:
        return teacher_of_bundle(Bundle.open(name))
    except BundleError as err:
        raise RecipeError(f"teacher {name!r} is no finished run in {runs}, and no bundle: {err}") from err


def teacher_of_run(run: Path) -> Teacher:
    """Read a finished backbone run.

    Raises:
        RecipeError: the run is missing or is no backbone run.
    """
    weights, recipe = load_run(run, BackboneRecipe)
    labels = json.loads((run / LABELS).read_text(encoding="utf-8"))
    backbone = build_backbone(recipe.backbone.model, **recipe.backbone.arguments)
    heads = build_heads(recipe, backbone, labels)
    task = BackboneWithHeads(backbone, heads, recipe.heads)
    task.load_state_dict(weights)
    return Teacher(recipe.name, task, recipe.backbone, labels)


def teacher_of_bundle(bundle: Bundle) -> Teacher:
    """Take backbone and heads of a bundle; each head's loss has the weight 1.

    Raises:
        BundleError: its weights do not fit the networks that its manifest names.
    """
    backbone = load_backbone(bundle)
    heads = load_heads(bundle, backbone)
    task = BackboneWithHeads(backbone, heads, dict.fromkeys(heads, 1.0))
    backbone_spec = bundle.server[
        "backbone"
    ]  # of it only this: what a bundle says never asks for weights elsewhere
    spec = BackboneSpec(model=backbone_spec["model"], arguments=backbone_spec["arguments"])
    return Teacher(bundle.name, task, spec, bundle.labels)


def build_heads(
    recipe: BackboneRecipe, backbone: Backbone, labels: dict[str, dict[str, Any]]
) -> dict[str, Head]:
    """Build the heads of a backbone recipe for its backbone."""
    return {
        name: build_head(name, backbone.channels, labels[name], backbone.strides) for name in recipe.heads
    }
