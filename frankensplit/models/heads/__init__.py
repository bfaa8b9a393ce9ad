# SPDX-License-Identifier: Apache-2.0
"""Task heads on the backbone's features. One file a head; its ``HEAD`` class is found by the file's name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from frankensplit.data.labels import UNLABELLED
from frankensplit.data.truth import TruthKind
from frankensplit.errors import BundleError, shown
from frankensplit.kinds import NEXT
from frankensplit.models.heads.base import Head


def head_class(name: str, labels: Mapping[str, Any]) -> type[Head]:
    """Return the class of a head (``segmentation``, ``presence``, ``detections`` ...).

    Args:
        name: the head's name, which is its kind unless its labels say otherwise.
        labels: its entry of ``labels.json``; ``head`` is its kind where that is not its name.

    Raises:
        BundleError: there is no such head.
    """
    kind = labels.get("head", name)
    names = sorted(
        module.name for module in pkgutil.iter_modules(__path__) if module.name not in ("base", "fusion")
    )
    if kind not in names:
        raise BundleError(
            f"no head {shown(kind)}: there are {names}; a new head is one file in frankensplit/models/heads"
        )
    found: type[Head] = importlib.import_module(f"{__name__}.{kind}").HEAD
    return found


def build_head(
    name: str,
    channels: Sequence[int],
    labels: dict[str, Any],
    strides: Sequence[int],
    classifier: nn.Module | None = None,
) -> Head:
    """Build a head for features of these channels and strides and the label set of its entry in ``labels.json``.

    ``classifier`` is the backbone's own, where it was built with one.

    Raises:
        BundleError: there is no such head, its labels lack something, or it needs a classifier that the backbone does
            not have.
    """
    kind = head_class(name, labels)
    try:
        head = kind(channels, labels, strides)
    except KeyError as err:
        raise BundleError(f"labels.json: head {name} lacks {err}; {NEXT}") from err
    head.take_classifier(classifier)
    return head


def truth_classes(labels: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the classes that truth is mapped to for heads with these labels, as arguments of ``open_frames``.

    Where several heads learn from one kind of truth, it is mapped to the classes of the first, before all of one
    whose classes exclude one another, and boxes to those of one whose results are boxes.
    """
    masks: dict[str, Any] = next((one for one in labels.values() if "ignore" in one), {})
    return {
        "classes": masks.get("classes"),
        "ignore": masks.get("ignore", UNLABELLED),
        "label_classes": _classes_for("label", labels),
        "box_classes": _classes_for("boxes", labels),
    }


def _classes_for(kind: TruthKind, labels: Mapping[str, dict[str, Any]]) -> list[str] | None:
    heads = [
        (head, one)
        for name, one in labels.items()
        if kind in (head := head_class(name, one)).learns_from(one)
    ]
    first = min(heads, key=lambda pair: (not pair[1].get("exclusive"), pair[0].kind != kind), default=None)
    return first[1]["classes"] if first else None


def heads_with_truth(labels: Mapping[str, dict[str, Any]], kind: TruthKind | None) -> list[str]:
    """Return the heads that know their truth from frames with this kind of it, mapped by ``truth_classes``."""
    mapped = truth_classes(labels)
    classes = {"mask": mapped["classes"], "label": mapped["label_classes"], "boxes": mapped["box_classes"]}
    return [
        name
        for name, one in labels.items()
        if kind in head_class(name, one).learns_from(one)
        and ((kind == "mask" and "mask_indices" in one) or classes[kind] in (None, one["classes"]))
    ]
