# SPDX-License-Identifier: Apache-2.0
"""Import what not every machine has."""

from __future__ import annotations

import importlib
from typing import Any

from frankensplit.errors import RuntimeUnavailable


def import_wheel(module: str, command: str) -> Any:
    """Return a module of a package that not every machine has.

    Raises:
        RuntimeUnavailable: it cannot be imported; ``command`` installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as err:
        raise RuntimeUnavailable(f"this rival needs {module}, which cannot be imported: {command}") from err
