# SPDX-License-Identifier: Apache-2.0
"""Carry out a recipe: read its data, build its networks, fit them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from frankensplit.bundle import Codec
from frankensplit.data.scenes import STREET, head_labels
from frankensplit.data.shards import open_shards
from frankensplit.errors import RecipeError
from frankensplit.models.backbone import build_backbone, freeze
from frankensplit.models.blueprints import build_blueprint, complete_arguments
from frankensplit.models.encoder import Encoder
from frankensplit.models.entropy import FactorizedPrior
from frankensplit.models.onnx_graph import read_encoder
from frankensplit.models.placement import place
from frankensplit.training.batches import Batches, Pool, load_class_pool, load_scene_pool, with_saliency
from frankensplit.training.codec_tasks import TrainBlueprint, TrainCodec
from frankensplit.training.engine import Task, fit, load_weights
from frankensplit.training.objectives import (
    HeadDistillation,
    Objective,
    StageDistillation,
    TaskDistillation,
    TaskLoss,
)
from frankensplit.training.recipe import (
    BackboneRecipe,
    ClassifyRecipe,
    CodecRecipe,
    parse_recipe,
)
from frankensplit.training.saliency.cache import SaliencyCache
from frankensplit.training.saliency.model import SaliencyModel
from frankensplit.training.tasks import (
    BackboneWithHeads,
    Classify,
    channel_variance,
    fisher_information,
)
from frankensplit.training.teacher import LABELS, Teacher, build_heads, load_teacher

STATISTICS_BATCHES = 12
KEPT_CODEC = "codec"
OBJECTIVES: dict[str, Callable[[BackboneWithHeads], Objective]] = {
    "stages": StageDistillation,
    "task": TaskLoss,
    "disagreement": TaskDistillation,
}


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


def load_codec(run: Path) -> tuple[TrainCodec | TrainBlueprint, CodecRecipe, Teacher]:
    """Return the networks of a codec run, its recipe, and its teacher, whose run lies beside it.

    Raises:
        RecipeError: a run is missing or of another task.
    """
    weights, values = load_weights(run)
    recipe = parse_recipe(values, str(run))
    if not isinstance(recipe, CodecRecipe):
        raise RecipeError(f"{run} is a run of task {recipe.task!r}, expected 'codec'")
    teacher = _load_teacher(recipe, run.parent)
    task = build_codec(recipe, run, HeadDistillation(teacher.task, torch.ones(1)))
    weights.pop("channel_weights", None)  # runs of version 0.1.0 hold it
    task.load_state_dict(weights)
    return task, recipe, teacher


def _load_teacher(recipe: CodecRecipe, runs: Path) -> Teacher:
    teacher = load_teacher(recipe.teacher, runs)
    if recipe.head_weights is None:
        return teacher
    if set(recipe.head_weights) != set(teacher.task.heads):
        raise RecipeError(
            f"recipe {recipe.name}: head_weights names {sorted(recipe.head_weights)}, the teacher's heads are "
            f"{sorted(teacher.task.heads)}"
        )
    teacher.task.weights = recipe.head_weights
    return teacher


def build_codec(recipe: CodecRecipe, run: Path, objective: Objective) -> TrainCodec | TrainBlueprint:
    """Build the networks of a codec recipe; a codec that is kept as it is lies in the run's folder."""
    if recipe.rate is None:
        codec = Codec.open(run / KEPT_CODEC)
        encoder, medians = read_encoder(codec.encoder_path, codec.manifest["encoder"])
        return TrainBlueprint(encoder, medians, _blueprint(recipe, encoder, objective), objective)
    encoder = Encoder(recipe.encoder.size, recipe.encoder.act_between)
    prior = FactorizedPrior(encoder.channels)
    blueprint = _blueprint(recipe, encoder, objective)
    return TrainCodec(encoder, prior, blueprint, objective, recipe.rate, recipe.density_lr)


def _blueprint(recipe: CodecRecipe, encoder: Encoder, objective: Objective) -> nn.Module:
    family, backbone = recipe.blueprint.family, objective.teacher.backbone
    return build_blueprint(
        family,
        latent_channels=encoder.channels,
        target_channels=backbone.channels[0],
        **complete_arguments(family, backbone, recipe.blueprint.arguments),
    )


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
    heads = build_heads(recipe, backbone, labels)
    pools = [load_scene_pool(source, data_root) for source in recipe.data]
    return BackboneWithHeads(backbone, heads, recipe.heads), _batches(recipe, pools, labels)


def _codec(
    recipe: CodecRecipe, runs: Path, data_root: Path, device: str
) -> tuple[TrainCodec | TrainBlueprint, Batches]:
    teacher = _load_teacher(recipe, runs)
    if recipe.encoder_from:
        _keep_codec(recipe.encoder_from, runs / recipe.name / KEPT_CODEC)
    pools = [load_scene_pool(source, data_root) for source in recipe.data]
    objective = _objective(recipe, teacher, pools)
    if recipe.saliency:
        pools = with_saliency(pools, SaliencyCache.open(SaliencyModel.of_teacher(teacher, device)))
    task = build_codec(recipe, runs / recipe.name, objective)
    freeze(place(teacher.task, device))
    if recipe.init:
        task.load_state_dict(load_weights(runs / recipe.init)[0])
    return task, _batches(recipe, pools, teacher.labels if objective.needs_labels else {})


def _keep_codec(source: str, folder: Path) -> None:
    """Copy the codec that stays as it is into the run, where a resumed run and the export find it."""
    codec = Codec.open(source)
    folder.mkdir(parents=True, exist_ok=True)
    for path in codec.path.iterdir():
        shutil.copyfile(path, folder / path.name)


def _objective(recipe: CodecRecipe, teacher: Teacher, pools: Sequence[Pool]) -> Objective:
    if recipe.objective != "features":
        return OBJECTIVES[recipe.objective](teacher.task)
    weights = _channel_weights(recipe, teacher.task, _batches(recipe, pools, teacher.labels))
    if recipe.saliency:
        return HeadDistillation(teacher.task, weights, recipe.saliency.uniform, recipe.saliency.salient)
    return HeadDistillation(teacher.task, weights)


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
