# SPDX-License-Identifier: Apache-2.0
"""Blueprints: decoders with the bias of a backbone family (paper 5.3.3). One file a family, found by its name."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from torch import nn

from frankensplit.errors import BundleError


def build_blueprint(family: str, **arguments: Any) -> nn.Module:
    """Build the blueprint of a family: symbols plus medians ``(N, C, h, w)`` to shallow features.

    Raises:
        BundleError: the family is unknown.
    """
    families = sorted(module.name for module in pkgutil.iter_modules(__path__))
    if family not in families:
        raise BundleError(f"no blueprint for family {family!r}: there are {families}")
    module: nn.Module = importlib.import_module(f"{__name__}.{family}").Blueprint(**arguments)
    return module
