# SPDX-License-Identifier: Apache-2.0
"""Prepare trainings of codecs, and read finished ones."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from frankensplit.bundle import BUNDLE, Bundle, Codec
from frankensplit.errors import BundleError, RecipeError
from frankensplit.models.backbone import freeze
from frankensplit.models.blueprints import build_blueprint, complete_arguments
from frankensplit.models.encoder import Encoder
from frankensplit.models.entropy import FactorizedPrior
from frankensplit.models.from_bundle import load_blueprint
from frankensplit.models.onnx_graph import read_encoder
from frankensplit.models.placement import place
from frankensplit.places import cache_folder
from frankensplit.training.data.batches import Batches, Prepared, batches_of, prepared
from frankensplit.training.data.pools import Pool, load_held_out, load_pool, with_saliency
from frankensplit.training.finished import load_run
from frankensplit.training.loop.checkpoint import CHECKPOINT, load_weights
from frankensplit.training.loop.cost import SAMPLES, samples_seen
from frankensplit.training.recipe import (
    CodecRecipe,
)
from frankensplit.training.saliency.cache import SALIENCY, SaliencyCache
from frankensplit.training.saliency.model import SaliencyModel
from frankensplit.training.tasks.backbone import (
    BackboneWithHeads,
    channel_variance,
    fisher_information,
)
from frankensplit.training.tasks.codec import TrainBlueprint, TrainCodec
from frankensplit.training.tasks.objectives import (
    FeaturesAndTask,
    HeadDistillation,
    Objective,
    StageDistillation,
    TaskDistillation,
    TaskLoss,
)
from frankensplit.training.tasks.teacher import Teacher, load_teacher
from frankensplit.training.where import Where
from frankensplit.writing import write_file

STATISTICS_BATCHES = 12
KEPT_CODEC = "codec"
DENSITIES = (
    "densities"  # the entropy model's, stored with a bundle's server weights so that a training can continue
)
OBJECTIVES: dict[str, Callable[[BackboneWithHeads], Objective]] = {
    "stages": StageDistillation,
    "task": TaskLoss,
    "disagreement": TaskDistillation,
}


def load_codec(run: Path) -> tuple[TrainCodec | TrainBlueprint, CodecRecipe, Teacher]:
    """Return the networks of a codec run, its recipe, and its teacher, whose run lies beside it.

    Raises:
        RecipeError: a run is missing or of another task.
    """
    weights, recipe = load_run(run, CodecRecipe)
    teacher = _load_teacher(recipe, run.parent)
    weights.pop("channel_weights", None)  # runs of version 0.1.0 hold it
    task = build_codec(recipe, run, HeadDistillation(teacher.task, torch.ones(1)))
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
        blueprint = _blueprint(recipe, encoder, objective)
        return TrainBlueprint(encoder, medians, blueprint, objective, recipe.levels)
    encoder = Encoder(recipe.encoder.size, recipe.encoder.act_between)
    prior = FactorizedPrior(encoder.channels)
    blueprint = _blueprint(recipe, encoder, objective)
    return TrainCodec(encoder, prior, blueprint, objective, recipe.rate, recipe.density_lr, recipe.levels)


def _blueprint(recipe: CodecRecipe, encoder: Encoder, objective: Objective) -> nn.Module:
    family, backbone = recipe.blueprint.family, objective.teacher.backbone
    return build_blueprint(
        family,
        latent_channels=encoder.channels,
        target_channels=backbone.channels[0],
        **complete_arguments(family, backbone, recipe.blueprint.arguments),
    )


def prepare_codec(recipe: CodecRecipe, where: Where) -> Prepared:
    """Build encoder, entropy model and blueprint, or a blueprint alone, and read the data."""
    runs = where.runs
    teacher = _load_teacher(recipe, runs)
    if recipe.encoder_from:
        _keep_codec(recipe.encoder_from, runs / recipe.name / KEPT_CODEC)
    labels = teacher.labels if recipe.needs_labels else {}
    pools = [load_pool(source, where.data_root, labels).pool for source in recipe.data]
    objective = _objective(recipe, teacher, pools)
    held_out = load_held_out(recipe.data, where.data_root, labels)
    if recipe.saliency:
        with cache_folder(SALIENCY) as folder:
            cache = SaliencyCache.open(SaliencyModel.of_teacher(teacher, where.device), folder)
            pools, held_out = with_saliency(pools, cache), with_saliency(held_out, cache)
    task = build_codec(recipe, runs / recipe.name, objective)
    freeze(place(teacher.task, where.device))
    if recipe.init and _is_run(runs / recipe.init):
        task.load_state_dict(load_weights(runs / recipe.init)[0])
        task.samples_before = samples_seen(runs / recipe.init)
    elif recipe.init:
        begin_with_bundle(_open_init(recipe.init, runs), task)
    return prepared(task, recipe, pools, held_out, teacher.labels if objective.needs_labels else {})


def _is_run(run: Path) -> bool:
    return (run / CHECKPOINT).is_file()


def _open_init(init: str, runs: Path) -> Bundle:
    try:
        return Bundle.open(init)
    except BundleError as err:
        raise RecipeError(f"init {init!r} is neither a finished run in {runs} nor a bundle: {err}") from err


@torch.no_grad()
def begin_with_bundle(bundle: Bundle, task: TrainCodec | TrainBlueprint) -> None:
    """Take the weights of a bundle: of its blueprint, and for a new codec of its encoder and densities.

    A new codec may have channels that the bundle's export left out: they begin untrained, and the blueprint does not
    look at them yet.

    Raises:
        RecipeError: the bundle's networks are others.
    """
    blueprint, _ = load_blueprint(bundle, task.objective.teacher.backbone)
    channels = bundle.codec.channels
    try:
        for name, weights in task.blueprint.state_dict().items():
            weights.zero_()
            _lay(weights, blueprint.state_dict()[name], channels)
        if isinstance(task, TrainCodec):
            encoder, _ = read_encoder(bundle.codec.encoder_path, bundle.codec.manifest["encoder"])
            for name, weights in task.encoder.state_dict().items():
                _lay(weights, encoder.state_dict()[name], channels)
            if bundle.weights(DENSITIES).is_file():
                begin_with_densities(bundle, task)
            else:
                print(f"{bundle.name} holds no densities: they begin untrained", file=sys.stderr)
    except (KeyError, ValueError) as err:
        raise RecipeError(f"the networks of {bundle.path} differ from the recipe's: {err}") from err


def begin_with_densities(bundle: Bundle, task: TrainCodec) -> None:
    """Take the densities of a bundle that holds them, and how many samples its networks have seen."""
    own = task.prior.state_dict()
    with safe_open(bundle.weights(DENSITIES), "pt") as file:
        for name in file.keys():  # noqa: SIM118 - it is not a dict
            _lay(own[name], file.get_tensor(name), bundle.codec.channels)
        task.samples_before = int((file.metadata() or {}).get(SAMPLES, 0))


def _lay(weights: Tensor, trained: Tensor, channels: int) -> None:
    """Lay trained weights over others in place, which may have more than ``channels`` where the trained have as many.

    Raises:
        ValueError: other axes differ.
    """
    sizes = list(zip(trained.shape, weights.shape, strict=True))
    if any(one != other and (one != channels or one > other) for one, other in sizes):
        raise ValueError(f"weights of shape {tuple(trained.shape)}, expected {tuple(weights.shape)}")
    weights[tuple(slice(size) for size in trained.shape)] = trained


def _keep_codec(source: str, folder: Path) -> None:
    """Copy the codec that stays as it is into the run, where a resumed run and the export find it."""
    codec = Codec.open(source)
    for path in codec.path.iterdir():
        # Processes that train together copy side by side: none may read what another has begun.
        if BUNDLE.files.fullmatch(f"{KEPT_CODEC}/{path.name}"):
            write_file(folder / path.name, path.read_bytes())


def _objective(recipe: CodecRecipe, teacher: Teacher, pools: Sequence[Pool]) -> Objective:
    if recipe.objective in OBJECTIVES:
        return OBJECTIVES[recipe.objective](teacher.task)
    labels = teacher.labels if recipe.channel_weight == "fisher" else {}
    weights = _channel_weights(recipe, teacher.task, batches_of(recipe, pools, labels))
    gammas = (recipe.saliency.uniform, recipe.saliency.salient) if recipe.saliency else ()
    features = HeadDistillation(teacher.task, weights, *gammas)
    return FeaturesAndTask(features) if recipe.objective == "features+task" else features


def _channel_weights(recipe: CodecRecipe, teacher: BackboneWithHeads, batches: Batches) -> torch.Tensor:
    """Return the weight of each shallow channel, scaled so that the mean of weight times variance is 1."""
    some = [batches[step] for step in range(min(STATISTICS_BATCHES, len(batches)))]
    variance = channel_variance(teacher.backbone, some)
    if recipe.channel_weight == "variance":
        return 1 / variance
    information = fisher_information(teacher, some)
    return information / (information * variance).mean()
