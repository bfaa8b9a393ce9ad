# SPDX-License-Identifier: Apache-2.0
"""Prepare trainings of backbones: by classes, or with all heads by masks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from frankensplit.data.scenes import STREET, head_labels
from frankensplit.data.shards import open_shards
from frankensplit.errors import RecipeError
from frankensplit.models.backbone import build_backbone
from frankensplit.training.batches import Batches, batches_of
from frankensplit.training.checkpoint import load_weights
from frankensplit.training.pools import load_pool
from frankensplit.training.recipe import BackboneRecipe, ClassifyRecipe
from frankensplit.training.tasks import BackboneWithHeads, Classify
from frankensplit.training.teacher import LABELS, build_heads
from frankensplit.training.where import Where


def prepare_classify(recipe: ClassifyRecipe, where: Where) -> tuple[Classify, Batches]:
    """Build a backbone with a classifier, and read its data."""
    loaded = [load_pool(source, where.data_root, {}) for source in recipe.data]
    counts = [len(one.classes or ()) for one in loaded]
    if len(set(counts)) != 1 or any(one.pool[0].truth.label is None for one in loaded):
        raise RecipeError(
            f"recipe {recipe.name}: the sets have {counts} classes, expected sets with classes, of one number for all"
        )
    backbone = build_backbone(recipe.backbone.model, **recipe.backbone.arguments)
    return Classify(backbone, counts[0]), batches_of(recipe, [one.pool for one in loaded], {})


def prepare_backbone(recipe: BackboneRecipe, where: Where) -> tuple[BackboneWithHeads, Batches]:
    """Build a backbone with its heads, and read its data."""
    labels = _recipe_labels(recipe, where.data_root)
    (where.runs / recipe.name).mkdir(parents=True, exist_ok=True)
    (where.runs / recipe.name / LABELS).write_text(json.dumps(labels), encoding="utf-8")
    backbone = build_backbone(recipe.backbone.model, **recipe.backbone.arguments)
    if recipe.init:
        backbone.load_state_dict(load_weights(where.runs / recipe.init, "backbone.")[0])
    heads = build_heads(recipe, backbone, labels)
    pools = [load_pool(source, where.data_root, labels).pool for source in recipe.data]
    return BackboneWithHeads(backbone, heads, recipe.heads), batches_of(recipe, pools, labels)


def _recipe_labels(recipe: BackboneRecipe, data_root: Path) -> dict[str, dict[str, Any]]:
    real = [source.data for source in recipe.data if not source.data.startswith(f"{STREET}:")]
    if not real:
        raise RecipeError(
            f"recipe {recipe.name}: at least one source must be a real set, whose labels are taken"
        )
    labels = head_labels(open_shards(real[0], data_root).labels, recipe.detect)
    unknown = sorted(set(recipe.heads) - set(labels))
    if unknown:
        raise RecipeError(f"recipe {recipe.name}: no labels for heads {unknown}; there are {sorted(labels)}")
    return {name: labels[name] for name in recipe.heads}
