# SPDX-License-Identifier: Apache-2.0
"""Prepare trainings of heads for finished bundles, and write the bundles that have them."""

from __future__ import annotations

from pathlib import Path

from frankensplit.bundle import Bundle
from frankensplit.models.from_bundle import read_weights
from frankensplit.models.heads import build_head
from frankensplit.training.data.batches import Prepared, prepared
from frankensplit.training.data.label_sets import load_labelled
from frankensplit.training.export.derive import derive_bundle, write_labels
from frankensplit.training.finished import load_run, read_json
from frankensplit.training.recipe import HeadRecipe
from frankensplit.training.tasks.head import BundleFeatures, TrainHead
from frankensplit.training.tasks.teacher import LABELS
from frankensplit.training.where import Where


def prepare_head(recipe: HeadRecipe, where: Where) -> Prepared:
    """Build the head on its bundle's features, and read the data."""
    bundle, name = Bundle.open(recipe.bundle), recipe.head.known_as
    labels, pools, held_out = load_labelled([recipe.head], recipe.data, where)
    write_labels(where.runs / recipe.name, labels)
    networks = BundleFeatures(bundle, where.device)
    backbone = networks.backbone
    head = build_head(name, backbone.channels, labels[name], backbone.strides, backbone.classifier)
    features = networks.clean if recipe.features == "clean" else networks.compressed
    return prepared(TrainHead(features, head, name), recipe, pools, held_out, labels)


def export_head(run: Path, out: Path, bundle_name: str) -> None:
    """Write the bundle of a head run with its head added, or in the place of one of that name.

    Raises:
        RecipeError: the run is missing or of another task.
        BundleError: its bundle is not there any more.
    """
    weights, recipe = load_run(run, HeadRecipe, "head.")
    bundle, name = Bundle.open(recipe.bundle), recipe.head.known_as
    others = {
        key: value for key, value in read_weights(bundle, "heads").items() if not key.startswith(f"{name}.")
    }
    labels = read_json(run / LABELS)
    sources = ", ".join(f"`{source.data}`" for source in recipe.data)
    note = (
        f"Head `{name}` ({recipe.head.kind}), {recipe.schedule.steps} steps of batch {recipe.schedule.batch} on "
        f"{recipe.features} features of {sources}."
    )
    derive_bundle(
        bundle,
        out,
        bundle_name,
        note,
        server={"heads": [*(one for one in bundle.server["heads"] if one != name), name]},
        weights={"heads": others | {f"{name}.{key}": value for key, value in weights.items()}},
        labels={**bundle.labels, **labels},
    )
