# SPDX-License-Identifier: Apache-2.0
"""Carry out a recipe: read its data, build its networks, fit them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch

from frankensplit.data.scenes import STREET, head_labels
from frankensplit.data.shards import open_shards
from frankensplit.errors import RecipeError
from frankensplit.models.backbone import Backbone, build_backbone
from frankensplit.models.blueprints import build_blueprint, complete_arguments
from frankensplit.models.encoder import Encoder
from frankensplit.models.entropy import FactorizedPrior
from frankensplit.models.heads import build_head
from frankensplit.models.heads.base import Head
from frankensplit.models.placement import place
from frankensplit.training.batches import Batches, load_class_pool, load_scene_pool
from frankensplit.training.engine import Task, fit, load_weights
from frankensplit.training.recipe import (
    BackboneRecipe,
    ClassifyRecipe,
    CodecRecipe,
    parse_recipe,
)
from frankensplit.training.tasks import (
    BackboneWithHeads,
    Classify,
    Distil,
    channel_variance,
    fisher_information,
)

STATISTICS_BATCHES = 12
LABELS = "labels.json"


class Teacher(NamedTuple):
    """A finished backbone run: its networks, its recipe, and the labels of its heads."""

    task: BackboneWithHeads
    recipe: BackboneRecipe
    labels: dict[str, dict[str, Any]]


def train(
    recipe: ClassifyRecipe | BackboneRecipe | CodecRecipe, runs: Path, data_root: Path, device: str
) -> Path:
    """Train by a recipe, or go on with its run; return the run's folder, ``runs/NAME``.

    Raises:
        RecipeError: a run that it builds on is missing, or its folder belongs to another recipe.
        DataError: a data set cannot be read.
    """
    torch.manual_seed(recipe.seed)
    run = runs / recipe.name
    task, batches = _prepare(recipe, runs, data_root, device)
    fit(task, batches, recipe.schedule, run, recipe.model_dump(mode="json"), device)
    return run


def _prepare(
    recipe: ClassifyRecipe | BackboneRecipe | CodecRecipe, runs: Path, data_root: Path, device: str
) -> tuple[Task, Batches]:
    if isinstance(recipe, ClassifyRecipe):
        return _classify(recipe, data_root)
    if isinstance(recipe, BackboneRecipe):
        return _backbone(recipe, runs, data_root)
    return _codec(recipe, runs, data_root, device)


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
    heads = _build_heads(recipe, backbone, labels)
    task = BackboneWithHeads(backbone, heads, recipe.heads)
    task.load_state_dict(weights)
    return Teacher(task, recipe, labels)


def load_codec(run: Path) -> tuple[Distil, CodecRecipe, Teacher]:
    """Return the networks of a codec run, its recipe, and its teacher, whose run lies beside it.

    Raises:
        RecipeError: a run is missing or of another task.
    """
    weights, values = load_weights(run)
    recipe = parse_recipe(values, str(run))
    if not isinstance(recipe, CodecRecipe):
        raise RecipeError(f"{run} is a run of task {recipe.task!r}, expected 'codec'")
    teacher = load_teacher(run.parent / recipe.teacher)
    backbone = teacher.task.backbone
    task = build_distil(recipe, backbone, torch.ones(backbone.channels[0]))
    task.load_state_dict(weights)
    return task, recipe, teacher


def build_distil(recipe: CodecRecipe, teacher: Backbone, channel_weights: torch.Tensor) -> Distil:
    """Build the networks of a codec recipe."""
    encoder = Encoder(recipe.encoder.size, recipe.encoder.act_between)
    family = recipe.blueprint.family
    blueprint = build_blueprint(
        family,
        latent_channels=encoder.channels,
        target_channels=teacher.channels[0],
        **complete_arguments(family, teacher, recipe.blueprint.arguments),
    )
    return Distil(
        teacher,
        encoder,
        FactorizedPrior(encoder.channels),
        blueprint,
        channel_weights,
        recipe.rate.weight,
        recipe.rate.warmup,
        recipe.density_lr,
    )


def _build_heads(
    recipe: BackboneRecipe, backbone: Backbone, labels: dict[str, dict[str, Any]]
) -> dict[str, Head]:
    return {
        name: build_head(name, backbone.channels, labels[name], backbone.strides) for name in recipe.heads
    }


def _classify(recipe: ClassifyRecipe, data_root: Path) -> tuple[Classify, Batches]:
    pools, counts = zip(*(load_class_pool(source, data_root) for source in recipe.data), strict=True)
    if len(set(counts)) != 1:
        raise RecipeError(
            f"recipe {recipe.name}: the sets have {counts} classes, expected one number for all"
        )
    backbone = build_backbone(recipe.backbone.model, **recipe.backbone.arguments)
    return Classify(backbone, counts[0]), _batches(recipe, pools, {})


def _backbone(recipe: BackboneRecipe, runs: Path, data_root: Path) -> tuple[BackboneWithHeads, Batches]:
    labels = _recipe_labels(recipe, data_root)
    (runs / recipe.name).mkdir(parents=True, exist_ok=True)
    (runs / recipe.name / LABELS).write_text(json.dumps(labels), encoding="utf-8")
    backbone = build_backbone(recipe.backbone.model, **recipe.backbone.arguments)
    if recipe.init:
        backbone.load_state_dict(load_weights(runs / recipe.init, "backbone.")[0])
    heads = _build_heads(recipe, backbone, labels)
    pools = [load_scene_pool(source, data_root) for source in recipe.data]
    return BackboneWithHeads(backbone, heads, recipe.heads), _batches(recipe, pools, labels)


def _codec(recipe: CodecRecipe, runs: Path, data_root: Path, device: str) -> tuple[Distil, Batches]:
    teacher, _, labels = load_teacher(runs / recipe.teacher)
    pools = [load_scene_pool(source, data_root) for source in recipe.data]
    weights = _channel_weights(recipe, teacher, _batches(recipe, pools, labels))
    task = build_distil(recipe, teacher.backbone, weights)
    place(teacher, device)
    if recipe.init:
        initial = load_weights(runs / recipe.init)[0]
        task.load_state_dict({**initial, "channel_weights": weights.view(1, -1, 1, 1)})
    return task, _batches(recipe, pools, {})


def _channel_weights(recipe: CodecRecipe, teacher: BackboneWithHeads, batches: Batches) -> torch.Tensor:
    """Return the weight of each shallow channel, scaled so that the mean of weight times variance is 1."""
    some = [batches[step] for step in range(min(STATISTICS_BATCHES, len(batches)))]
    variance = channel_variance(teacher.backbone, some)
    if recipe.channel_weight == "variance":
        return 1 / variance
    information = fisher_information(teacher, some)
    return information / (information * variance).mean()


def _batches(recipe: Any, pools: Any, labels: dict[str, dict[str, Any]]) -> Batches:
    shares = [source.share for source in recipe.data]
    schedule = recipe.schedule
    return Batches(pools, shares, recipe.crops, labels, recipe.seed, schedule.batch, schedule.steps)


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
