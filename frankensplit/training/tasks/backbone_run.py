# SPDX-License-Identifier: Apache-2.0
"""Prepare trainings of backbones: by classes, or with all heads by masks."""

from __future__ import annotations

from frankensplit.errors import RecipeError
from frankensplit.models.backbone import Backbone, build_backbone, freeze
from frankensplit.models.weights import WeightsReference
from frankensplit.models.weights import load_weights as load_reference
from frankensplit.training.data.batches import Prepared, prepared
from frankensplit.training.data.label_sets import load_labelled
from frankensplit.training.data.pools import load_held_out, load_pool
from frankensplit.training.export.derive import write_labels
from frankensplit.training.loop.checkpoint import load_weights
from frankensplit.training.recipe import BackboneRecipe, BackboneSpec, ClassifyRecipe, HeadSpec
from frankensplit.training.tasks.backbone import BackboneWithHeads, Classify
from frankensplit.training.tasks.teacher import build_heads
from frankensplit.training.where import Where


def prepare_classify(recipe: ClassifyRecipe, where: Where) -> Prepared:
    """Build a backbone with a classifier, and read its data."""
    loaded = [load_pool(source, where.data_root, {}) for source in recipe.data]
    counts = [len(one.classes or ()) for one in loaded]
    if len(set(counts)) != 1 or any(one.pool[0].truth.label is None for one in loaded):
        raise RecipeError(
            f"recipe {recipe.name}: the sets have {counts} classes, expected sets with classes, of one number for all"
        )
    backbone = _begin(recipe.backbone)
    pools = [one.pool for one in loaded]
    held_out = load_held_out(recipe.data, where.data_root, {})
    return prepared(Classify(backbone, counts[0]), recipe, pools, held_out, {})


def prepare_backbone(recipe: BackboneRecipe, where: Where) -> Prepared:
    """Build a backbone with its heads, and read its data."""
    labels, pools, held_out = load_labelled(
        [HeadSpec(kind=name, detect=recipe.detect) for name in recipe.heads], recipe.data, where
    )
    write_labels(where.runs / recipe.name, labels)
    backbone = _begin(recipe.backbone)
    if recipe.init:
        backbone.load_state_dict(load_weights(where.runs / recipe.init, "backbone.")[0])
    if recipe.frozen != "nothing":
        freeze(backbone if recipe.frozen == "all" else backbone.shallow)
    heads = build_heads(recipe, backbone, labels)
    task = BackboneWithHeads(
        backbone, heads, recipe.heads, recipe.backbone_lr, keep_statistics=recipe.frozen != "nothing"
    )
    return prepared(task, recipe, pools, held_out, labels)


def _begin(spec: BackboneSpec) -> Backbone:
    weights = load_reference(WeightsReference.of_manifest(spec.weights)) if spec.weights else None
    return build_backbone(spec.model, spec.pretrained, spec.checkpoint, weights=weights, **spec.arguments)
