# SPDX-License-Identifier: Apache-2.0
"""A trained backbone with its heads, from its run or from a bundle: what codecs, blueprints and heads learn from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from frankensplit.bundle import Bundle
from frankensplit.errors import BundleError, RecipeError
from frankensplit.models.backbone import Backbone, build_backbone
from frankensplit.models.from_bundle import load_backbone, load_heads
from frankensplit.models.heads import build_head
from frankensplit.models.heads.base import Head
from frankensplit.models.timm_import import timm
from frankensplit.models.weights import WeightsReference, reference_of
from frankensplit.models.weights import load_weights as load_reference
from frankensplit.training.finished import load_run, read_json
from frankensplit.training.loop.checkpoint import CHECKPOINT
from frankensplit.training.recipe import BackboneRecipe, BackboneSpec, PretrainedSpec
from frankensplit.training.tasks.backbone import BackboneWithHeads

LABELS = "labels.json"
IMAGENET_CLASSES = 1000


class Teacher(NamedTuple):
    """A trained backbone with heads: its name, networks, how the backbone is built, and the labels of its heads.

    ``backbone`` has ``weights`` only where the networks have these very weights.
    """

    name: str
    task: BackboneWithHeads
    backbone: BackboneSpec
    labels: dict[str, dict[str, Any]]


def load_teacher(name: str | PretrainedSpec, runs: Path) -> Teacher:
    """Read a finished backbone run by its name in ``runs``, a bundle by folder or name, or a pretrained backbone.

    Raises:
        RecipeError: there is neither, or the run is not a backbone run.
        BundleError: the bundle is damaged, or the pretrained weights cannot be had.
    """
    if isinstance(name, PretrainedSpec):
        return teacher_of_pretrained(name)
    if (runs / name / CHECKPOINT).is_file():
        return teacher_of_run(runs / name)
    try:
        return teacher_of_bundle(Bundle.open(name))
    except BundleError as err:
        raise RecipeError(
            f"teacher {name!r} is neither a finished run in {runs} nor a bundle: {err}"
        ) from err


def teacher_of_run(run: Path) -> Teacher:
    """Read a finished backbone run.

    Raises:
        RecipeError: the run is missing or is not a backbone run.
    """
    weights, recipe = load_run(run, BackboneRecipe)
    labels = read_json(run / LABELS)
    backbone = build_backbone(recipe.backbone.model, **recipe.backbone.arguments)
    heads = build_heads(recipe, backbone, labels)
    task = BackboneWithHeads(backbone, heads, recipe.heads)
    task.load_state_dict(weights)
    as_begun = recipe.frozen == "all" and not recipe.init
    built = recipe.backbone if as_begun else recipe.backbone.model_copy(update={"weights": None})
    return Teacher(recipe.name, task, built, labels)


def teacher_of_bundle(bundle: Bundle) -> Teacher:
    """Take backbone and heads of a bundle; each head's loss has the weight 1.

    Raises:
        BundleError: its weights do not fit the networks that its manifest names.
    """
    backbone = load_backbone(bundle)
    heads = load_heads(bundle, backbone)
    task = BackboneWithHeads(backbone, heads, dict.fromkeys(heads, 1.0))
    built, reference = bundle.server["backbone"], reference_of(bundle)
    spec = BackboneSpec(
        model=built["model"],
        arguments=built["arguments"],
        weights=reference.manifest() if reference else None,
    )
    return Teacher(bundle.name, task, spec, bundle.labels)


def teacher_of_pretrained(spec: PretrainedSpec) -> Teacher:
    """Build a pretrained backbone whose own classifier is its only head.

    Raises:
        BundleError: its weights cannot be had or do not fit.
        RecipeError: it has another number of classes than ImageNet, whose names are known.
    """
    weights = load_reference(WeightsReference.of_manifest(spec.weights))
    backbone = build_backbone(spec.model, weights=weights, **spec.arguments)
    classes = int(spec.arguments.get("num_classes", 0))
    if classes != IMAGENET_CLASSES:
        raise RecipeError(
            f"teacher {spec.model} has num_classes {classes}, expected {IMAGENET_CLASSES} in its arguments: its own "
            "classifier is the head, with ImageNet's names"
        )
    labels = {"head": "backbone_classifier", "classes": imagenet_names(), "exclusive": True}
    head = build_head(spec.head, backbone.channels, labels, backbone.strides, backbone.classifier)
    task = BackboneWithHeads(backbone, {spec.head: head}, {spec.head: 1.0})
    return Teacher(spec.model, task, spec, {spec.head: labels})


def imagenet_names() -> list[str]:
    """Return a short name of each of ImageNet's 1000 classes, as timm has them; none is there twice."""
    info = timm.data.imagenet_info.ImageNetInfo()
    long = [info.index_to_description(index) for index in range(IMAGENET_CLASSES)]
    short = [name.partition(",")[0] for name in long]
    names = [whole if short.count(name) > 1 else name for name, whole in zip(short, long, strict=True)]
    return [name if names.count(name) == 1 else f"{name} {index}" for index, name in enumerate(names)]


def build_heads(
    recipe: BackboneRecipe, backbone: Backbone, labels: dict[str, dict[str, Any]]
) -> dict[str, Head]:
    """Build the heads of a backbone recipe for its backbone."""
    return {
        name: build_head(name, backbone.channels, labels[name], backbone.strides) for name in recipe.heads
    }
