# SPDX-License-Identifier: Apache-2.0
"""Integers to bytes and back: the checked front of the C coder, or of its twin where that is not built."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frankensplit.codec.tables import Tables
from frankensplit.errors import PacketError, SymbolError

try:
    from frankensplit.codec import _rans as _coder
except ImportError:
    from frankensplit.codec import _rans_twin as _coder  # type: ignore[no-redef]

IMPLEMENTATION = "python" if _coder.__name__.endswith("_twin") else "c"
MAX_SYMBOLS = 1 << 25  # a latent of 7680x4320 at stride 8 with 64 channels


def encode(symbols: NDArray[np.int32], tables: Tables) -> bytes:
    """Encode a latent; the bytes equal those of CompressAI's ``encode_with_indexes``.

    Args:
        symbols: int32 ``(C, H, W)`` with as many channels as the tables.
        tables: the codec's.

    Returns:
        A payload of 8 bytes or more, a multiple of 4.

    Raises:
        SymbolError: other dtype or shape, or a symbol farther than 2**27 outside its table.
    """
    if symbols.dtype != np.int32 or symbols.ndim != 3 or len(symbols) != tables.channels:
        raise SymbolError(
            f"symbols are {symbols.dtype} {symbols.shape}, expected int32 ({tables.channels}, H, W); "
            "quantise the latent and use the tables of its own codec"
        )
    try:
        return _coder.encode(
            np.require(symbols, requirements=["C", "A"]), tables.cdf, tables.sizes, tables.offsets
        )
    except ValueError as error:
        raise SymbolError(f"{error}; check that encoder and tables belong together") from None


def decode(
    payload: bytes | bytearray | memoryview,
    shape: tuple[int, int, int],
    tables: Tables,
    max_symbols: int = MAX_SYMBOLS,
) -> NDArray[np.int32]:
    """Decode a latent; the time is bounded by its size, whatever the payload holds.

    Args:
        payload: what :func:`encode` gave.
        shape: ``(C, H, W)`` of the latent.
        tables: those of the encoder.
        max_symbols: refuse larger latents before anything is allocated for them.

    Returns:
        int32 ``(C, H, W)``.

    Raises:
        PacketError: the payload was not made from this shape with these tables, or the shape is refused.
    """
    if len(shape) != 3 or min(shape) < 0 or shape[0] != tables.channels or prod(shape) > max_symbols:
        raise PacketError(
            f"latent {shape} is refused, expected ({tables.channels}, H, W), at most {max_symbols} in all; "
            "check that the packet comes from this codec"
        )
    symbols = np.empty(shape, np.int32)
    try:
        _coder.decode(bytes(memoryview(payload)), symbols, tables.cdf, tables.sizes, tables.offsets)
    except ValueError as error:
        raise PacketError(f"{error}; it is damaged or was made with other tables, drop it") from None
    return symbols


def quantise(latent: NDArray[Any]) -> NDArray[np.int32]:
    """Round a floating-point latent to the nearest integers, halves to even.

    Args:
        latent: floating point, any shape, medians already subtracted.

    Returns:
        int32 of the same shape.

    Raises:
        SymbolError: another dtype, or a value that is NaN, infinite or outside int32 (casts hide them).
    """
    if not np.issubdtype(latent.dtype, np.floating):
        raise SymbolError(f"latent is {latent.dtype}, expected floating point; do not quantise twice")
    rounded = np.rint(latent)
    low, high = float(rounded.min(initial=0)), float(rounded.max(initial=0))
    if not (low >= -(2**31) and high < 2**31):  # false for NaN, which min and max pass on
        raise SymbolError(f"latent spans {low} to {high}, expected finite int32 values; check the encoder")
    return np.asarray(rounded, np.int32)
