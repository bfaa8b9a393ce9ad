# SPDX-License-Identifier: Apache-2.0
"""CompressAI's entropy coder on our tables: what our own is held to in speed. Only its compiled module is loaded."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frankensplit.codec.tables import Tables
from frankensplit.errors import RuntimeUnavailable

MODULE = "compressai.ans"  # the package's own name: pybind11 refuses to load a module twice


class ReferenceRans:
    """CompressAI's coder, fed with the lists that it wants; making them is not its work.

    Args:
        tables: the codec's.

    Raises:
        RuntimeUnavailable: CompressAI is not installed (no wheel for Python 3.13).
    """

    def __init__(self, tables: Tables) -> None:
        module = _load()
        self.encoder, self.decoder = module.RansEncoder(), module.RansDecoder()
        self.tables = [tables.cdf.tolist(), tables.sizes.tolist(), tables.offsets.tolist()]

    def lists(self, symbols: NDArray[np.int32]) -> tuple[list[int], list[int]]:
        """Return symbols ``(C, h, w)`` and the table of each, as lists."""
        indexes = np.repeat(np.arange(len(symbols)), symbols[0].size)
        return symbols.ravel().tolist(), indexes.tolist()

    def encode(self, symbols: list[int], indexes: list[int]) -> bytes:
        """Return the payload."""
        payload: bytes = self.encoder.encode_with_indexes(symbols, indexes, *self.tables)
        return payload

    def decode(self, payload: bytes, indexes: list[int]) -> list[int]:
        """Return the symbols."""
        symbols: list[int] = self.decoder.decode_with_indexes(payload, indexes, *self.tables)
        return symbols


def _load() -> Any:
    if MODULE not in sys.modules:
        package = importlib.util.find_spec("compressai")
        if package is None or not package.submodule_search_locations:
            raise RuntimeUnavailable("no compressai: pip install --no-deps compressai==1.2.8")
        path = next(Path(package.submodule_search_locations[0]).glob("ans.*.so"), None)
        if path is None:
            raise RuntimeUnavailable(
                "compressai has no compiled coder: pip install --no-deps compressai==1.2.8"
            )
        spec = importlib.util.spec_from_loader(MODULE, ExtensionFileLoader(MODULE, str(path)))
        assert spec is not None and spec.loader is not None
        sys.modules[MODULE] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[MODULE])
    return sys.modules[MODULE]
