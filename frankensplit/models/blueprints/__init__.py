# SPDX-License-Identifier: Apache-2.0
"""Blueprints: decoders with the bias of a backbone family (paper 5.3.3). One file a family, found by its name.

A file gives ``Blueprint``, the ``STRIDE`` of what it returns, and ``default_arguments(backbone)``.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

from torch import nn

from frankensplit.errors import BundleError
from frankensplit.models.backbone import Backbone


def build_blueprint(family: str, **arguments: Any) -> nn.Module:
    """Build the blueprint of a family: symbols plus medians ``(N, C, h, w)`` to shallow features.

    Raises:
        BundleError: the family is unknown, or the arguments are not its own.
    """
    blueprint = _family(family).Blueprint
    try:
        module: nn.Module = blueprint(**arguments)
    except TypeError as err:
        raise BundleError(f"blueprint {family!r} cannot be built with {arguments}: {err}") from err
    return module


def complete_arguments(family: str, backbone: Backbone, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return a blueprint's arguments, those left out chosen from the backbone whose shallow features it is to give.

    Raises:
        BundleError: the family is unknown, or gives features of another stride than the backbone's.
    """
    module = _family(family)
    if backbone.strides[0] != module.STRIDE:
        raise BundleError(
            f"blueprint {family!r} gives features of stride {module.STRIDE}, the backbone's shallow features have "
            f"{backbone.strides[0]}: take blueprint {backbone.family!r}"
        )
    return {**module.default_arguments(backbone), **arguments}


def _family(family: str) -> Any:
    families = sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))
    if family not in families:
        raise BundleError(f"no blueprint for family {family!r}: there are {families}")
    return importlib.import_module(f"{__name__}.{family}")
