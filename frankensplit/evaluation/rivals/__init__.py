# SPDX-License-Identifier: Apache-2.0
"""Rival codecs. One file a rival, found by its name; it gives ``QUALITIES`` and ``code(rgb, quality)``."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from frankensplit.errors import DataError


class Rival(Protocol):
    """What a rival's module provides."""

    QUALITIES: tuple[int, ...]

    def code(self, rgb: NDArray[np.uint8], quality: int) -> tuple[int, NDArray[np.uint8]]:
        """Return the coded size in bytes and the decoded picture."""


def rival_names() -> list[str]:
    """Return the names of all rivals."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


def load_rival(name: str) -> Rival:
    """Return a rival by name.

    Raises:
        DataError: there is none of that name.
    """
    if name not in rival_names():
        raise DataError(f"no rival {name!r}: there are {rival_names()}")
    module: Any = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    return cast(Rival, module)
