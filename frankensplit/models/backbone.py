# SPDX-License-Identifier: Apache-2.0
"""A timm backbone cut before its deepest stage: shallow layers, which a blueprint replaces, and the frozen tail."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from torch import Tensor, nn

from frankensplit.errors import BundleError
from frankensplit.kinds import check_values
from frankensplit.models.cuts import find_cut
from frankensplit.models.normalisation import IMAGENET, Normalisation
from frankensplit.models.timm_import import timm


class Parts(NamedTuple):
    """A network taken apart; features are NCHW, the finest first: shallow, third stage, last stage."""

    shallow: nn.Module
    tail: list[nn.Module]
    channels: list[int]
    strides: list[int]
    classifier: nn.Module


class Backbone(nn.Module):
    """Shallow layers and tail of one network; together they are the unmodified backbone.

    Attributes:
        family: which cut was made (``convnext``, ``efficientnet``, ``resnet``, ``swin``).
        channels: channels of the features ``[shallow, third stage, last stage]``.
        strides: image pixels between neighbours of these features: 8, 16, 32, for Swin 16, 16, 32.
        classifier: the network's own pooling and classifier, None where it was built without classes.
        normalise: maps uint8 RGB images ``(N, 3, H, W)`` to what the network was trained on.
    """

    classifier: nn.Module | None

    def __init__(
        self,
        family: str,
        parts: Parts,
        keep_classifier: bool = False,
        normalise: Normalisation = IMAGENET,
    ) -> None:
        super().__init__()
        self.family, self.normalise = family, normalise
        self.shallow = parts.shallow
        self.tail_stages = nn.ModuleList(parts.tail)
        self.channels, self.strides = parts.channels, parts.strides
        self.classifier = parts.classifier if keep_classifier else None

    def tail(self, shallow_features: Tensor) -> list[Tensor]:
        """Map shallow features ``(N, channels[0], h, w)`` to all features that heads read, finest first."""
        features = [shallow_features]
        for stage in self.tail_stages:
            features.append(stage(features[-1]))
        return features

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map normalised images ``(N, 3, H, W)``, sides multiples of 32, to the unmodified backbone's features."""
        return self.tail(self.shallow(images))

    def classify(self, features: list[Tensor]) -> Tensor:
        """Map what :meth:`tail` returns to the logits ``(N, classes)`` of the network's own classifier.

        Raises:
            BundleError: the backbone was built without it.
        """
        if self.classifier is None:
            raise BundleError(
                "this backbone has no classifier; build it with num_classes as its weights have"
            )
        logits: Tensor = self.classifier(features[-1])
        return logits


def build_backbone(
    model: str,
    pretrained: bool = False,
    checkpoint: Path | str | None = None,
    num_classes: int = 0,
    weights: Mapping[str, Tensor] | None = None,
    **arguments: Any,
) -> Backbone:
    """Build a timm model by name and cut it. Its normalisation is the one that timm states for the model.

    Args:
        model: timm's name, with or without a tag: ``swin_s3_tiny_224``, ``resnet50.a1_in1k``.
        pretrained: fetch timm's weights of that name (the default tag's where none is given).
        checkpoint: file of weights to load instead, .safetensors or .pth: timm's state dict, classifier and all.
        num_classes: 0 leaves the classifier out; otherwise it is kept for :meth:`Backbone.classify`.
        weights: to fill the network with instead, as ``checkpoint`` would hold them.
        arguments: passed to ``timm.create_model``, where the family's list has them.

    Raises:
        BundleError: timm does not know the name, no cut is known for it, an argument is not on its list, or its
            weights cannot be had.
    """
    family, module = find_cut(model)
    check_values(f"backbone {model!r}", {**arguments, "num_classes": num_classes}, module.ARGUMENTS)
    arguments = {**getattr(module, "BUILD", {}), **arguments, "num_classes": num_classes}
    network = _fetch(model, arguments) if pretrained else _create(model, arguments)
    if checkpoint is not None:
        _load(network, Path(checkpoint), model, module)
    if weights is not None:
        _fill(network, weights, f"weights cannot be used for {model!r}", module)
    parts = module.cut(network)
    if parts.strides[0] != module.STRIDE:
        raise BundleError(
            f"{model!r} with {arguments} has shallow features of stride {parts.strides[0]}, expected {module.STRIDE}"
        )
    stated = network.pretrained_cfg
    normalise = Normalisation(tuple(stated["mean"]), tuple(stated["std"]))
    return Backbone(family, parts, keep_classifier=num_classes > 0, normalise=normalise)


def _create(model: str, arguments: dict[str, Any]) -> Any:
    try:
        return timm.create_model(model, pretrained=False, **arguments)
    except (AssertionError, ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as err:
        raise BundleError(
            f"timm cannot build {model!r} with {arguments} ({type(err).__name__}: {err}): mend the arguments"
        ) from err


def _fetch(model: str, arguments: dict[str, Any]) -> Any:
    try:
        return timm.create_model(model, pretrained=True, **arguments)
    except (OSError, RuntimeError) as err:
        raise BundleError(
            f"no pretrained weights for {model!r} ({type(err).__name__}: {err}): check the network connection, "
            "or download them elsewhere and give the file as checkpoint"
        ) from err


UNUSABLE = (OSError, RuntimeError, KeyError, AttributeError, pickle.UnpicklingError, SafetensorError)


def _load(network: Any, path: Path, model: str, cut_of_family: Any) -> None:
    try:
        weights = timm.models.load_state_dict(str(path), weights_only=True)
    except UNUSABLE as err:
        raise _misfit(f"checkpoint {path} cannot be used for {model!r}", network, err) from err
    _fill(network, weights, f"checkpoint {path} cannot be used for {model!r}", cut_of_family)


def _fill(network: Any, weights: Mapping[str, Tensor], complaint: str, cut_of_family: Any) -> None:
    """Fill a network, also from layouts that timm or our cut converts; without classes the classifier is dropped."""
    timm_module = sys.modules[type(network).__module__]
    convert = getattr(cut_of_family, "convert", getattr(timm_module, "checkpoint_filter_fn", None))
    try:
        weights = convert(weights, network) if convert else weights
        if not network.num_classes:
            classifier = f"{network.pretrained_cfg['classifier']}."
            weights = {name: value for name, value in weights.items() if not name.startswith(classifier)}
        network.load_state_dict(weights)
    except UNUSABLE as err:
        raise _misfit(complaint, network, err) from err


def _misfit(complaint: str, network: Any, err: Exception) -> BundleError:
    return BundleError(
        f"{complaint} with {network.num_classes} classes ({type(err).__name__}: {err}); expected timm's state dict of "
        "this model as .safetensors or .pth"
    )


def freeze(module: nn.Module) -> nn.Module:
    """Freeze weights and statistics for good; return the module."""
    module.requires_grad_(False)
    return module.eval()
