# SPDX-License-Identifier: Apache-2.0
"""Integer entropy tables: the one thing that encoder and decoder must share to the bit."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from frankensplit.codec._rans_twin import DIGIT_BITS, MAX_DIGITS, OUTLIER_LIMIT, SLOT_BITS
from frankensplit.errors import SymbolError, TablesError
from frankensplit.reading import read_arrays

TOTAL = 1 << SLOT_BITS
MAX_CHANNELS = 65535
COST_UNIT = 1 << 12
INT32 = np.iinfo(np.int32)

Ints = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Tables:
    """Hold one cumulative frequency table a channel; validated whole, copied and read-only.

    Args:
        cdf: int32 ``(C, W)``; row r rises strictly from 0 to 65536 in ``sizes[r]`` entries, then zeros.
            Its last slot is the sentinel: the mass of everything outside the row.
        sizes: int32 ``(C,)``, 3 to W; a row covers the ``sizes[r] - 2`` symbols from ``offsets[r]`` on.
        offsets: int32 ``(C,)``, the smallest symbol of each row.

    Raises:
        TablesError: any of this does not hold, or an outlier could leave int32.
    """

    cdf: Ints
    sizes: Ints
    offsets: Ints

    def __post_init__(self) -> None:
        for field in fields(self):
            array = _owned_int32(field.name, getattr(self, field.name))
            object.__setattr__(self, field.name, array)
        _check_shapes(self.cdf, self.sizes, self.offsets)
        _check_sizes(self.sizes, self.cdf.shape[1])
        _check_rows(self.cdf, self.sizes)
        _check_offsets(self.sizes, self.offsets)

    @property
    def channels(self) -> int:
        """Count the channels, one table each."""
        return len(self.sizes)

    @classmethod
    def from_pmfs(cls, pmfs: Sequence[ArrayLike], offsets: Sequence[int]) -> Tables:
        """Quantise one probability vector a channel; its last entry is the mass outside the row.

        Raises:
            TablesError: see :func:`pmf_to_quantized_cdf` and the class.
        """
        if len(pmfs) != len(offsets) or not pmfs:
            raise TablesError(f"got {len(pmfs)} pmfs and {len(offsets)} offsets; give one of each a channel")
        rows = [pmf_to_quantized_cdf(pmf) for pmf in pmfs]
        cdf = np.zeros((len(rows), max(map(len, rows))), np.int32)
        for channel, row in enumerate(rows):
            cdf[channel, : len(row)] = row
        return cls(cdf, np.array([len(row) for row in rows], np.int32), _to_int32(offsets))

    @classmethod
    def from_counts(cls, counts: Sequence[tuple[int, ArrayLike]]) -> Tables:
        """Fit tables to symbols: per channel ``(offset, counts)``, where ``counts[i]`` counts ``offset + i``.

        The sentinel of each row gets the least mass, and so does a symbol inside a row that was never seen.

        Raises:
            TablesError: a channel without symbols, negative counts, or a row that is too wide.
        """
        pmfs = [_normalised(channel, seen) for channel, (_, seen) in enumerate(counts)]
        return cls.from_pmfs(pmfs, [offset for offset, _ in counts])

    def of(self, channels: Sequence[int]) -> Tables:
        """Return the tables of some channels, in this order."""
        rows = list(channels)
        return Tables(self.cdf[rows], self.sizes[rows], self.offsets[rows])

    def ideal_bits(self, symbols: Ints) -> float:
        """Give the bits that int32 ``(C, H, W)`` symbols cost; a real payload adds 32 to 64 bits in all.

        Raises:
            SymbolError: another number of channels.
        """
        if len(symbols) != self.channels:
            raise SymbolError(
                f"symbols have {len(symbols)} channels, expected {self.channels} as in the tables"
            )
        return sum(self._channel_bits(channel, np.ravel(plane)) for channel, plane in enumerate(symbols))

    def _channel_bits(self, channel: int, symbols: Ints) -> float:
        top = int(self.sizes[channel]) - 2
        value = symbols.astype(np.int64) - int(self.offsets[channel])
        inside = (value >= 0) & (value < top)
        slots = np.bincount(np.where(inside, value, top), minlength=top + 1)
        slot_bits = SLOT_BITS - np.log2(np.diff(self.cdf[channel, : top + 2]))
        outliers = value[~inside]
        raw = np.where(outliers < 0, -2 * outliers - 1, 2 * (outliers - top))
        digits = np.searchsorted(16 ** np.arange(MAX_DIGITS), raw, side="right")
        return float(slots @ slot_bits) + DIGIT_BITS * float(len(raw) + digits.sum())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an ``.npz``: same tables, same bytes (no time stamps, no compression)."""
        write_arrays(path, {field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Tables:
        """Read and validate what :meth:`save` wrote.

        Raises:
            TablesError: no such file, damaged, compressed, pickled, other arrays than the three, or broken rules.
        """
        return cls(**read_arrays(path, {field.name: np.int32 for field in fields(cls)}, error=TablesError))

    @cached_property
    def slot_costs(self) -> Ints:
        """Bits of each slot rounded down to ``1 / COST_UNIT``, int32 ``(C, W)``; a sentinel with its digit count."""
        widths = np.diff(self.cdf, axis=1, append=0)
        costs = np.asarray(COST_UNIT * (SLOT_BITS - np.log2(np.maximum(widths, 1))), np.int32)
        costs[np.arange(self.channels), self.sizes - 2] += COST_UNIT * DIGIT_BITS
        costs.flags.writeable = False
        return costs


def pmf_to_quantized_cdf(pmf: ArrayLike) -> Ints:
    """Turn probabilities into a cumulative table of total 65536 in which each slot is at least 1 wide.

    Equal to CompressAI's function of this name at 16 bits, which rounds float32 probabilities.

    Args:
        pmf: ``(N,)`` probabilities, need not add up to 1, N from 1 to 65536.

    Returns:
        int32 ``(N + 1,)`` from 0 to 65536.

    Raises:
        TablesError: negative, not finite, too large, no mass at all, or too many entries.
    """
    widths = _rounded_widths(np.asarray(pmf, np.float32))
    cdf = np.concatenate([[0], np.cumsum(widths * TOTAL // widths.sum())])
    cdf[-1] = TOTAL
    for slot in range(len(widths)):
        if cdf[slot] == cdf[slot + 1]:
            _widen(cdf, slot)
    return cdf.astype(np.int32)


def _rounded_widths(pmf: NDArray[np.float32]) -> NDArray[np.int64]:
    if pmf.ndim != 1 or not 1 <= len(pmf) <= TOTAL:
        raise TablesError(f"pmf has shape {pmf.shape}, expected (N,) with N from 1 to {TOTAL}")
    if not ((pmf >= 0) & (pmf < TOTAL)).all():
        raise TablesError(f"pmf spans {pmf.min()} to {pmf.max()}, expected finite probabilities from 0 on")
    widths = np.floor(pmf.astype(np.float64) * TOTAL + 0.5).astype(np.int64)  # half away from zero
    if not widths.any():
        raise TablesError(f"pmf has no entry from {0.5 / TOTAL:.1e} on, expected a sum of 1")
    return widths


def _widen(cdf: NDArray[np.int64], slot: int) -> None:
    """Give an empty slot one unit of the first narrowest slot that can spare it."""
    widths = np.diff(cdf)
    donor = int(np.argmin(np.where(widths > 1, widths, TOTAL + 1)))
    if donor < slot:
        cdf[donor + 1 : slot + 1] -= 1
    else:
        cdf[slot + 1 : donor + 1] += 1


def _normalised(channel: int, counts: ArrayLike) -> NDArray[np.float64]:
    """Frequencies of a channel with an empty sentinel behind."""
    seen = np.asarray(counts, np.float64)
    if seen.ndim != 1 or not np.isfinite(seen).all() or (seen < 0).any() or not seen.any():
        raise TablesError(f"counts of channel {channel} must be finite, not negative, and not all 0")
    return np.append(seen / seen.sum(), 0.0)


def _to_int32(values: Sequence[int]) -> Ints:
    wide = np.asarray(values, np.int64)
    if (wide < INT32.min).any() or (wide > INT32.max).any():
        raise TablesError(f"offsets are {wide.min()} to {wide.max()}, expected values of int32")
    return wide.astype(np.int32)


def _owned_int32(name: str, array: NDArray[np.int32]) -> Ints:
    if not isinstance(array, np.ndarray) or array.dtype != np.int32:
        raise TablesError(f"{name} is {getattr(array, 'dtype', type(array))}, expected an int32 array")
    owned = np.array(array, order="C")
    owned.flags.writeable = False
    return owned


def _check_shapes(cdf: Ints, sizes: Ints, offsets: Ints) -> None:
    if cdf.ndim != 2 or not 1 <= len(cdf) <= MAX_CHANNELS:
        raise TablesError(f"cdf has shape {cdf.shape}, expected (C, W) with C from 1 to {MAX_CHANNELS}")
    if sizes.shape != (len(cdf),) or offsets.shape != (len(cdf),):
        raise TablesError(f"sizes {sizes.shape} and offsets {offsets.shape} must be ({len(cdf)},)")


def _refuse(broken: NDArray[np.bool_], text: str) -> None:
    if broken.any():
        raise TablesError(f"table of channel {int(np.argmax(broken))} {text}; export the codec again")


def _check_sizes(sizes: Ints, width: int) -> None:
    _refuse((sizes < 3) | (sizes > width), f"has a size outside 3 to {width}")


def _check_rows(cdf: Ints, sizes: Ints) -> None:
    valid = np.arange(cdf.shape[1]) < sizes[:, None]
    steps = np.diff(cdf.astype(np.int64), axis=1)
    _refuse(cdf[:, 0] != 0, "does not begin with 0")
    _refuse(np.any((steps < 1) & valid[:, 1:], axis=1), "does not rise strictly: a slot has no width")
    _refuse(cdf[np.arange(len(cdf)), sizes - 1] != TOTAL, f"does not end with {TOTAL}")
    _refuse(np.any((cdf != 0) & ~valid, axis=1), "is not padded with zeros")


def _check_offsets(sizes: Ints, offsets: Ints) -> None:
    low = offsets.astype(np.int64) - OUTLIER_LIMIT
    high = offsets.astype(np.int64) + sizes - 2 + OUTLIER_LIMIT - 1
    _refuse((low < INT32.min) | (high > INT32.max), "has an offset that lets outliers leave int32")


def write_arrays(path: str | os.PathLike[str], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an ``.npz`` whose bytes depend on nothing but the arrays."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy")
            member.create_system = 3  # the default would put the writer's operating system into the bytes
            content = io.BytesIO()
            np.lib.format.write_array(content, array, (1, 0), allow_pickle=False)
            archive.writestr(member, content.getvalue())
    Path(path).write_bytes(buffer.getvalue())
