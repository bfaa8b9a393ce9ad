# SPDX-License-Identifier: Apache-2.0
"""Build a bundle's networks and fill them with its weights; float32 on the CPU, not yet frozen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from frankensplit.bundle import Bundle
from frankensplit.errors import BundleError
from frankensplit.kinds import NEXT, check_values, shown
from frankensplit.models.adapter import AdaptedBlueprint
from frankensplit.models.backbone import Backbone, build_backbone
from frankensplit.models.blueprints import build_blueprint
from frankensplit.models.cuts import find_cut
from frankensplit.models.heads import build_head
from frankensplit.models.heads.base import Head
from frankensplit.models.normalisation import Normalisation
from frankensplit.models.weights import load_weights, reference_of

M = TypeVar("M", bound=nn.Module)
ADAPTER = "adapter"  # of the manifest's blueprint: width of the adapter behind it, where it has one
NORMALISATION = "normalisation"  # entry of the manifest's backbone
MEDIANS = "medians"  # beside the blueprint's weights: what the codec subtracts before rounding, float (C,)


def load_backbone(bundle: Bundle) -> Backbone:
    """Return the bundle's backbone.

    Raises:
        BundleError: an argument is not on the family's list, or the weights do not fit the network that the manifest
            names, or are elsewhere and cannot be had.
    """
    spec, reference = bundle.server["backbone"], reference_of(bundle)
    model, arguments = spec["model"], spec["arguments"]
    # Before the call: there they could take the place of what only a user may ask for, pretrained and checkpoint.
    check_values(f"backbone {shown(model)}", arguments, find_cut(model)[1].ARGUMENTS)
    if reference is None:
        build = partial(build_backbone, model, **arguments)
        backbone = _filled(build, _read(bundle, "backbone"), "backbone")
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

    def build() -> nn.ModuleDict:
        return nn.ModuleDict(
            {
                name: build_head(
                    name, backbone.channels, bundle.labels[name], backbone.strides, backbone.classifier
                )
                for name in bundle.server["heads"]
            }
        )

    heads: Any = _filled(build, _read(bundle, "heads"), "heads")
    return dict(heads.items())


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

    weights = _read(bundle, "blueprint")
    medians = weights.pop(MEDIANS, None)
    if medians is None or medians.shape != (bundle.codec.channels,):
        raise BundleError(
            f"server/blueprint.safetensors has {MEDIANS} of shape {medians if medians is None else [*medians.shape]}, "
            f"expected [{bundle.codec.channels}]: fetch or export the bundle again"
        )
    return _filled(build, weights, "blueprint"), medians


def _read(bundle: Bundle, part: str) -> dict[str, Tensor]:
    weights = load_file(bundle.weights(part))
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
