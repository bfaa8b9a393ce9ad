# SPDX-License-Identifier: Apache-2.0
"""Build a bundle's networks and fill them with its weights; float32 on the CPU, not yet frozen."""

from __future__ import annotations

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from frankensplit.bundle import MAX_WEIGHTS_BYTES, Bundle
from frankensplit.errors import BundleError
from frankensplit.models.adapter import AdaptedBlueprint
from frankensplit.models.backbone import Backbone, build_backbone
from frankensplit.models.blueprints import build_blueprint
from frankensplit.models.heads import build_head
from frankensplit.models.heads.base import Head
from frankensplit.reading import check_safetensors, shown

ADAPTER = "adapter"  # of the manifest's blueprint: width of the adapter behind it, where it has one
MEDIANS = "medians"  # beside the blueprint's weights: what the codec subtracts before rounding, float (C,)
MOST_CLASSES = {
    "mask": 255,
    "boxes": 4096,
}  # of a kind of head that gives a value a class and cell of the frame


def load_backbone(bundle: Bundle) -> Backbone:
    """Return the bundle's backbone.

    Raises:
        BundleError: the weights do not fit the network that the manifest names.
    """
    spec = bundle.server["backbone"]
    backbone = build_backbone(spec["model"], **spec["arguments"])
    _fill(backbone, _as_float(read_weights(bundle, "backbone")), "backbone")
    return backbone


def load_heads(bundle: Bundle, backbone: Backbone) -> dict[str, Head]:
    """Return the bundle's heads by name, for features of its backbone.

    Raises:
        BundleError: as for the backbone.
    """
    heads = {name: _build_head(bundle, name, backbone) for name in bundle.server["heads"]}
    _fill(nn.ModuleDict(heads), _as_float(read_weights(bundle, "heads")), "heads")
    return heads


def _build_head(bundle: Bundle, name: str, backbone: Backbone) -> Head:
    try:
        head = build_head(name, backbone.channels, bundle.labels[name], backbone.strides)
    except KeyError as err:
        raise BundleError(
            f"labels.json has no {err} for the head {name!r}: fetch or export the bundle again"
        ) from err
    most = MOST_CLASSES.get(head.kind)
    if most is not None and len(head.classes) > most:
        raise BundleError(f"head {name!r} has {len(head.classes)} classes, expected at most {most}")
    return head


def load_blueprint(bundle: Bundle, backbone: Backbone) -> tuple[nn.Module, Tensor]:
    """Return the bundle's blueprint, with its adapter if it has one, and the medians ``(C,)`` to add to symbols.

    Raises:
        BundleError: as for the backbone.
    """
    spec = bundle.server["blueprint"]
    blueprint = build_blueprint(
        spec["family"],
        latent_channels=bundle.codec.channels,
        target_channels=backbone.channels[0],
        **spec["arguments"],
    )
    if ADAPTER in spec:
        blueprint = AdaptedBlueprint(blueprint, backbone.channels[0], spec[ADAPTER])
    weights = _as_float(read_weights(bundle, "blueprint"))
    medians = weights.pop(MEDIANS, None)
    if medians is None or medians.shape != (bundle.codec.channels,):
        found = "missing" if medians is None else f"of shape {tuple(medians.shape)}"
        raise BundleError(
            f"{bundle.weights('blueprint')}: {MEDIANS} are {found}, expected ({bundle.codec.channels},), one a channel"
        )
    _fill(blueprint, weights, "blueprint")
    return blueprint, medians


def read_weights(bundle: Bundle, part: str) -> dict[str, Tensor]:
    """Return the weights of ``blueprint``, ``backbone`` or ``heads`` as they are stored.

    Raises:
        BundleError: the file cannot be read, or a value is not finite.
    """
    path = bundle.weights(part)
    check_safetensors(path, MAX_WEIGHTS_BYTES)
    try:
        weights = load_file(path)
    except (OSError, ValueError, KeyError, SafetensorError) as err:
        raise BundleError(f"{path} does not hold weights: {err}; fetch or export the bundle again") from err
    for name, value in weights.items():
        if value.is_floating_point() and not torch.isfinite(value.float()).all():
            raise BundleError(
                f"{path}: {shown(name)} has values that are not finite; fetch or export the bundle again"
            )
    return weights


def _as_float(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.float() if value.is_floating_point() else value for name, value in weights.items()}


def _fill(module: nn.Module, weights: dict[str, Tensor], part: str) -> None:
    try:
        module.load_state_dict(weights)
    except RuntimeError as err:
        raise BundleError(
            f"server/{part}.safetensors does not fit the network that the manifest names: {err}"
        ) from err
