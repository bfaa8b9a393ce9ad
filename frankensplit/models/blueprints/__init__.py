# SPDX-License-Identifier: Apache-2.0
"""Blueprints: decoders with the bias of a backbone family (paper 5.3.3). One file a family, found by its name.

A file gives ``Blueprint``, the ``ARGUMENTS`` that it may be built with, the ``STRIDE`` of what it returns, and
``default_arguments(backbone)``.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

from torch import nn

from frankensplit.errors import BundleError, shown
from frankensplit.kinds import NEXT, check_values
from frankensplit.models.backbone import Backbone


def build_blueprint(family: str, /, **arguments: Any) -> nn.Module:
    """Build the blueprint of a family: symbols plus medians ``(N, C, h, w)`` to shallow features.

    Raises:
        BundleError: the family is unknown, or the arguments are not its own.
    """
    its = _family(family)
    check_values(f"blueprint {family!r}", arguments, its.ARGUMENTS)
    try:
        module: nn.Module = its.Blueprint(**arguments)
    except (ArithmeticError, RuntimeError, TypeError, ValueError) as err:
        raise BundleError(
            f"blueprint {family!r} cannot be built with {arguments} ({type(err).__name__}: {err}); {NEXT}"
        ) from err
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
        raise BundleError(f"no blueprint for family {shown(family)}: there are {families}")
    return importlib.import_module(f"{__name__}.{family}")
