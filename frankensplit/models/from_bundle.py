# SPDX-License-Identifier: Apache-2.0
"""Build a bundle's networks and fill them with its weights; float32 on the CPU, not yet frozen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from frankensplit.bundle import MAX_WEIGHTS_BYTES, Bundle, Codec
from frankensplit.errors import BundleError, shown
from frankensplit.kinds import NEXT, check_values
from frankensplit.models.adapter import AdaptedBlueprint
from frankensplit.models.backbone import Backbone, build_backbone
from frankensplit.models.blueprints import build_blueprint
from frankensplit.models.cuts import find_cut
from frankensplit.models.encoder import STRIDE
from frankensplit.models.heads import build_head
from frankensplit.models.heads.base import Head
from frankensplit.models.normalisation import Normalisation
from frankensplit.models.weights import check_tensors, load_weights, reference_of
from frankensplit.reading import check_safetensors

M = TypeVar("M", bound=nn.Module)
ADAPTER = "adapter"  # entry of the manifest's blueprint: width of the adapter behind it, if any
NORMALISATION = "normalisation"  # entry of the manifest's backbone
MEDIANS = (
    "medians"  # stored with the blueprint's weights; the codec subtracts them before rounding, float (C,)
)
MOST_CLASSES = {
    "mask": 255,
    "boxes": 4096,
}  # kinds of head that give one value per class and cell of the frame
MAX_LOGITS = 1 << 28  # most logits of a frame's masks, one per class and pixel: 1 GiB in float32


def load_backbone(bundle: Bundle) -> Backbone:
    """Return the bundle's backbone.

    Raises:
        BundleError: an argument is not on the family's list, or the weights do not fit the network that the manifest
            names, or are elsewhere and cannot be had.
    """
    spec, reference = bundle.server["backbone"], reference_of(bundle)
    model, arguments = spec["model"], spec["arguments"]
    # They are checked first, because they must not set arguments that only a user may give (pretrained, checkpoint).
    check_values(f"backbone {shown(model)}", arguments, find_cut(model)[1].ARGUMENTS)
    if reference is None:
        build = partial(build_backbone, model, **arguments)
        backbone = _filled(build, _as_float(read_weights(bundle, "backbone")), "backbone")
    else:
        backbone = _referenced(model, arguments, load_weights(reference))
    if NORMALISATION in spec:
        backbone.normalise = Normalisation.of_manifest(spec[NORMALISATION])
    elif reference:
        raise BundleError(
            f"{bundle.path} names the backbone's weights by reference, but not its {NORMALISATION}: export it again"
        )
    return backbone


def _referenced(model: str, arguments: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Backbone:
    """Build a backbone of weights that are not the bundle's own; one that is larger than these is refused before."""
    with torch.device("meta"):
        needed = sum(parameter.numel() for parameter in build_backbone(model, **arguments).parameters())
    there = sum(value.numel() for value in weights.values())
    if needed > there:
        raise BundleError(
            f"backbone {shown(model)} has {needed} parameters, the weights that the bundle names {there}; {NEXT}"
        )
    return build_backbone(model, weights=weights, **arguments)


def load_heads(bundle: Bundle, backbone: Backbone) -> dict[str, Head]:
    """Return the bundle's heads by name, for features of its backbone.

    Raises:
        BundleError: as for the backbone, or there is no such head.
    """

    if taken := [name for name in bundle.server["heads"] if hasattr(nn.ModuleDict(), name)]:
        raise BundleError(f"heads cannot have the names {', '.join(taken)}, which torch has taken; {NEXT}")

    def build() -> nn.ModuleDict:
        return nn.ModuleDict({name: _build_head(bundle, name, backbone) for name in bundle.server["heads"]})

    heads: Any = _filled(build, _as_float(read_weights(bundle, "heads")), "heads")
    return dict(heads.items())


def _build_head(bundle: Bundle, name: str, backbone: Backbone) -> Head:
    labels = bundle.labels[name]
    head = build_head(name, backbone.channels, labels, backbone.strides, backbone.classifier)
    most, (height, width) = MOST_CLASSES.get(head.kind), bundle.codec.largest
    if most is not None and len(head.classes) > most:
        raise BundleError(f"head {name!r} has {len(head.classes)} classes, expected at most {most}")
    if head.kind == "mask" and len(head.classes) * height * width > MAX_LOGITS:
        raise BundleError(
            f"head {name!r} has {len(head.classes)} classes for frames of {width}x{height}, expected at most "
            f"{MAX_LOGITS} logits of a frame; take fewer classes or smaller frames"
        )
    return head


def load_blueprint(bundle: Bundle, backbone: Backbone) -> tuple[nn.Module, Tensor]:
    """Return the bundle's blueprint, with its adapter if it has one, and the medians ``(C,)`` to add to symbols.

    Raises:
        BundleError: as for the backbone.
    """
    spec, target = bundle.server["blueprint"], backbone.channels[0]
    sizes = {"latent_channels": bundle.codec.channels, "target_channels": target}

    def build() -> nn.Module:
        blueprint = build_blueprint(spec["family"], **{**spec["arguments"], **sizes})
        return AdaptedBlueprint(blueprint, target, spec[ADAPTER]) if ADAPTER in spec else blueprint

    weights = _as_float(read_weights(bundle, "blueprint"))
    medians = weights.pop(MEDIANS, None)
    if medians is None or medians.shape != (bundle.codec.channels,) or not medians.is_floating_point():
        found = "missing" if medians is None else f"{medians.dtype} of shape {tuple(medians.shape)}"
        raise BundleError(
            f"{bundle.weights('blueprint')}: {MEDIANS} are {found}, expected floats of shape "
            f"({bundle.codec.channels},), one a channel"
        )
    _check_strides(bundle.codec, backbone)
    return _filled(build, weights, "blueprint"), medians


def _check_strides(codec: Codec, backbone: Backbone) -> None:
    """Refuse a codec whose latent or padding no network of ours fits; a packet would find it after much work."""
    multiple, deepest = int(codec.manifest["multiple"]), backbone.strides[-1]
    if codec.stride != STRIDE or multiple % deepest:
        raise BundleError(
            f"codec.json has stride {codec.stride} and multiple {multiple}, expected stride {STRIDE} and a multiple of "
            f"the backbone's deepest stride, {deepest}; {NEXT}"
        )


def read_weights(bundle: Bundle, part: str) -> dict[str, Tensor]:
    """Return the weights of ``blueprint``, ``backbone`` or ``heads`` as they are stored.

    Raises:
        BundleError: the file cannot be read, or a value is not finite or of a type that no network of ours has.
    """
    path = bundle.weights(part)
    check_safetensors(path, MAX_WEIGHTS_BYTES)
    try:
        weights = load_file(path)
    except (OSError, ValueError, KeyError, SafetensorError) as err:
        raise BundleError(f"{path} does not hold weights: {err}; fetch or export the bundle again") from err
    check_tensors(path, weights)
    return weights


def _as_float(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.float() if value.is_floating_point() else value for name, value in weights.items()}


def _filled(build: Callable[[], M], weights: dict[str, Tensor], part: str) -> M:
    """Build a network and fill it with its weights.

    It is first built without memory: one that is larger than its weights is found before it takes any.
    """
    try:
        with torch.device("meta"):
            build().load_state_dict(weights, assign=True)
        module = build()
        module.load_state_dict(weights)
    except RuntimeError as err:
        raise BundleError(
            f"server/{part}.safetensors does not fit the network that the manifest names: {err}"
        ) from err
    return module
