# SPDX-License-Identifier: Apache-2.0
"""Task heads on the backbone's features. One file a head; its ``HEAD`` class is found by the file's name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from typing import Any

from frankensplit.errors import BundleError
from frankensplit.models.heads.base import Head


def head_class(name: str) -> type[Head]:
    """Return the class of a head by name (``segmentation``, ``presence``, ``detections`` ...).

    Raises:
        BundleError: there is no such head.
    """
    names = sorted(
        module.name for module in pkgutil.iter_modules(__path__) if module.name not in ("base", "fusion")
    )
    if name not in names:
        raise BundleError(
            f"no head {name!r}: there are {names}; a new head is one file in frankensplit/models/heads"
        )
    found: type[Head] = importlib.import_module(f"{__name__}.{name}").HEAD
    return found


def build_head(name: str, channels: Sequence[int], labels: dict[str, Any], strides: Sequence[int]) -> Head:
    """Build a head for features of these channels and strides and the label set of its entry in ``labels.json``."""
    return head_class(name)(channels, labels, strides)
