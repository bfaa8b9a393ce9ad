# SPDX-License-Identifier: Apache-2.0
"""Build a bundle's networks and fill them with its weights; float32 on the CPU, not yet frozen."""

from __future__ import annotations

from safetensors.torch import load_file
from torch import Tensor, nn

from frankensplit.bundle import Bundle
from frankensplit.errors import BundleError
from frankensplit.models.adapter import AdaptedBlueprint
from frankensplit.models.backbone import Backbone, build_backbone
from frankensplit.models.blueprints import build_blueprint
from frankensplit.models.heads import build_head
from frankensplit.models.heads.base import Head
from frankensplit.models.normalisation import Normalisation
from frankensplit.models.weights import load_weights, reference_of

ADAPTER = "adapter"  # of the manifest's blueprint: width of the adapter behind it, where it has one
NORMALISATION = "normalisation"  # entry of the manifest's backbone
MEDIANS = "medians"  # beside the blueprint's weights: what the codec subtracts before rounding, float (C,)


def load_backbone(bundle: Bundle) -> Backbone:
    """Return the bundle's backbone.

    Raises:
        BundleError: the weights do not fit the network that the manifest names, or are elsewhere and cannot be had.
    """
    spec = bundle.server["backbone"]
    reference = reference_of(bundle)
    if reference:
        if NORMALISATION not in spec:
            raise BundleError(
                f"{bundle.path} names the backbone's weights by reference, but not its normalisation: export it again"
            )
        backbone = build_backbone(spec["model"], weights=load_weights(reference), **spec["arguments"])
    else:
        backbone = build_backbone(spec["model"], **spec["arguments"])
        _fill(backbone, _read(bundle, "backbone"), "backbone")
    if NORMALISATION in spec:
        backbone.normalise = Normalisation.of_manifest(spec[NORMALISATION])
    return backbone


def load_heads(bundle: Bundle, backbone: Backbone) -> dict[str, Head]:
    """Return the bundle's heads by name, for features of its backbone.

    Raises:
        BundleError: as for the backbone.
    """
    heads = {
        name: build_head(name, backbone.channels, bundle.labels[name], backbone.strides, backbone.classifier)
        for name in bundle.server["heads"]
    }
    _fill(nn.ModuleDict(heads), _read(bundle, "heads"), "heads")
    return heads


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
    weights = _read(bundle, "blueprint")
    medians = weights.pop(MEDIANS)
    _fill(blueprint, weights, "blueprint")
    return blueprint, medians


def _read(bundle: Bundle, part: str) -> dict[str, Tensor]:
    weights = load_file(bundle.weights(part))
    return {name: value.float() if value.is_floating_point() else value for name, value in weights.items()}


def _fill(module: nn.Module, weights: dict[str, Tensor], part: str) -> None:
    try:
        module.load_state_dict(weights)
    except RuntimeError as err:
        raise BundleError(
            f"server/{part}.safetensors does not fit the network that the manifest names: {err}"
        ) from err
