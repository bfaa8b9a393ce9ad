# SPDX-License-Identifier: Apache-2.0
"""Integers to bytes and back: the checked front of the C coder, or of its twin where that is not built."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frankensplit.codec.context import Contexts
from frankensplit.codec.tables import COST_UNIT, Tables
from frankensplit.errors import PacketError, SymbolError

try:
    from frankensplit.codec import _rans as _coder
except ImportError:
    from frankensplit.codec import _rans_twin as _coder  # type: ignore[no-redef]

IMPLEMENTATION = "python" if _coder.__name__.endswith("_twin") else "c"
MAX_SYMBOLS = 1 << 25  # a latent of 7680x4320 at stride 8 with 64 channels
MAX_SIDE = 65535  # a packet carries each side in 16 bits; an empty latent may not be longer either


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
    _check_symbols(symbols, tables.channels)
    try:
        return _coder.encode(_plain(symbols), tables.cdf, tables.sizes, tables.offsets)
    except ValueError as error:
        raise SymbolError(f"{error}; check that encoder and tables belong together") from None


def encode_in_context(symbols: NDArray[np.int32], contexts: Contexts) -> bytes:
    """Encode a latent with tables chosen by what was coded before; see ``_rans_twin.py``.

    Args:
        symbols: int32 ``(C, H, W)`` with as many channels as the contexts.
        contexts: the codec's, of the latent's quality level.

    Returns:
        A payload of 8 bytes or more, a multiple of 4; its bytes equal those of CompressAI's ``encode_with_indexes``
        when it is told the table of each symbol.

    Raises:
        SymbolError: other dtype or shape, or a symbol farther than 2**27 outside its table.
    """
    _check_symbols(symbols, contexts.channels)
    try:
        return _coder.encode_in_context(_plain(symbols), symbols.shape, *_arguments(contexts))
    except ValueError as error:
        raise SymbolError(f"{error}; check that encoder and contexts belong together") from None


def encode_smaller(
    symbols: NDArray[np.int32], tables: Tables, contexts: Contexts | None
) -> tuple[bytes, bool]:
    """Encode a latent with contexts where that is smaller, else with the tables.

    The payload of the tables is made only where a bound of its size, a tenth of the work, does not already tell.

    Returns:
        The payload, and whether it is context-coded.

    Raises:
        SymbolError: other dtype or shape, or a symbol farther than 2**27 outside its table.
    """
    if contexts is None:
        return encode(symbols, tables), False
    try:
        payload = encode_in_context(symbols, contexts)
    except SymbolError:
        # The symbols may only lie outside the contexts' range; if they are wrong, encode says how.
        return encode(symbols, tables), False
    if len(payload) < least_bytes(symbols, tables):
        return payload, True
    without = encode(symbols, tables)
    return (payload, True) if len(payload) < len(without) else (without, False)


def least_bytes(symbols: NDArray[np.int32], tables: Tables) -> int:
    """Bound from below the bytes that ``encode`` would give for int32 ``(C, H, W)`` symbols."""
    least = _coder.cost(_plain(symbols), tables.slot_costs, tables.sizes, tables.offsets)
    return least // (8 * COST_UNIT)


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
    _check_shape(shape, tables.channels, max_symbols)
    symbols = np.empty(shape, np.int32)
    try:
        _coder.decode(bytes(memoryview(payload)), symbols, tables.cdf, tables.sizes, tables.offsets)
    except ValueError as error:
        raise PacketError(f"{error}; it is damaged or was made with other tables: send it again") from None
    return symbols


def decode_in_context(
    payload: bytes | bytearray | memoryview,
    shape: tuple[int, int, int],
    contexts: Contexts,
    max_symbols: int = MAX_SYMBOLS,
) -> NDArray[np.int32]:
    """Decode what :func:`encode_in_context` gave; arguments, bounds and errors are those of :func:`decode`."""
    _check_shape(shape, contexts.channels, max_symbols)
    symbols = np.empty(shape, np.int32)
    try:
        _coder.decode_in_context(bytes(memoryview(payload)), symbols, shape, *_arguments(contexts))
    except ValueError as error:
        raise PacketError(f"{error}; it is damaged or was made with other contexts: send it again") from None
    return symbols


def _plain(symbols: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.require(symbols, requirements=["C", "A"])


def _arguments(contexts: Contexts) -> tuple[NDArray[Any], ...]:
    tables = contexts.tables
    return (
        tables.cdf,
        tables.sizes,
        tables.offsets,
        contexts.map,
        contexts.near_limits,
        contexts.activity_limits,
    )


def _check_symbols(symbols: NDArray[np.int32], channels: int) -> None:
    if symbols.dtype != np.int32 or symbols.ndim != 3 or len(symbols) != channels:
        raise SymbolError(
            f"symbols are {symbols.dtype} {symbols.shape}, expected int32 ({channels}, H, W); "
            "quantise the latent and use the tables of its own codec"
        )


def _check_shape(shape: tuple[int, int, int], channels: int, max_symbols: int) -> None:
    sides = len(shape) == 3 and 0 <= min(shape) <= max(shape) <= MAX_SIDE
    if not sides or shape[0] != channels or prod(shape) > max_symbols:
        raise PacketError(
            f"latent {shape} is refused, expected ({channels}, H, W) of sides up to {MAX_SIDE}, at most {max_symbols} "
            "in all; check that the packet comes from this codec"
        )


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
