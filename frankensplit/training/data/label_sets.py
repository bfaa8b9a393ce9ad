# SPDX-License-Identifier: Apache-2.0
"""The entries of ``labels.json`` for heads, made from the data that the heads learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from frankensplit.data.frames import open_frames
from frankensplit.data.sources import STREET
from frankensplit.errors import DataError
from frankensplit.models.heads import head_class
from frankensplit.training.data.pools import Pool, load_held_out, load_pool
from frankensplit.training.recipe import HeadSpec, RecipeSource
from frankensplit.training.where import Where

LabelSets = dict[str, dict[str, Any]]


class Labelled(NamedTuple):
    """Label sets by head, the pools of the sources, and those of held-out frames."""

    labels: LabelSets
    pools: list[Pool]
    held_out: list[Pool]


def load_labelled(heads: Sequence[HeadSpec], sources: Sequence[RecipeSource], where: Where) -> Labelled:
    """Read the frames that heads are to learn from, with their truth.

    Label sets are of the first source that names its classes.

    Raises:
        DataError: a source cannot be read, none names its classes, or a head lacks something.
        BundleError: there is no head of a kind.
    """
    about = _set_labels(sources, where.data_root)
    labels = {spec.known_as: _label_set(spec, about) for spec in heads}
    pools = [load_pool(source, where.data_root, labels).pool for source in sources]
    counted = {name: one | _frequency(one, pools) for name, one in labels.items()}
    return Labelled(counted, pools, load_held_out(sources, where.data_root, labels))


def _label_set(spec: HeadSpec, about: Mapping[str, Any]) -> dict[str, Any]:
    kind = {"head": spec.kind}
    labels = head_class(spec.known_as, kind).label_set(about, spec.detect)
    return labels if spec.known_as == spec.kind else labels | kind


def _set_labels(sources: Sequence[RecipeSource], data_root: Path) -> dict[str, Any]:
    """Return the labels of the first set that has some; the synthetic street, which has no colours, comes last."""
    names = sorted((source.data for source in sources), key=lambda name: name.startswith(STREET))
    for name in names:
        labels = open_frames(name, data_root).labels
        if labels is not None:
            return labels
    raise DataError(f"none of {names} names its classes: put a labels.json with class_names beside the data")


def _frequency(labels: Mapping[str, Any], pools: Sequence[Pool]) -> dict[str, list[float]]:
    """Return, for a head of masks, the share of labelled pixels of each class; one that never occurs has one pixel."""
    if "ignore" not in labels:
        return {}
    counts = np.ones(len(labels["classes"]))
    for shot in (shot for pool in pools for shot in pool):
        if shot.truth.mask is not None:
            counts += np.bincount(shot.truth.mask.ravel(), minlength=256)[: len(counts)]
    return {"frequency": [round(float(share), 8) for share in counts / counts.sum()]}
