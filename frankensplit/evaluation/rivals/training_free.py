# SPDX-License-Identifier: Apache-2.0
"""The backbone's own shallow features without any training: sparsity, asymmetric integers, rANS.

As in SLICER (keep the values of largest magnitude) and rANS-IF (asymmetric integer quantisation, sparse, rANS), each
part in the variant that lost least on this project's features at few bytes:

1. Each channel's zero point is its mean, sent in 8 bits.
2. Of all values of the frame, the share of largest distance from their zero point is kept, the others become zero.
3. One step for the frame: the range of these distances over ``levels - 1``. The range is asymmetric, so is the table.
4. One rANS table a channel, made from the frame's counts; they travel on a scale of half octaves, deflated.

A quality of 815 means 8 levels (3 bits) and 15 % kept. The settings are those worth their bytes, found on driving
frames like the ones that results are reported on, which can only flatter this codec.
"""

from __future__ import annotations

import struct
import zlib
from math import ceil
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from frankensplit.codec import Tables, rans
from frankensplit.errors import DataError, PacketError, TablesError
from frankensplit.evaluation.rivals import Coder, Options, Quality, Rival

QUALITIES = (402, 404, 410, 510, 615, 820, 830, 1650)

# Shape; step; unit of the zero points; first symbol and how many; bytes of the deflated counts.
HEADER = struct.Struct("<3HffhBH")
STEPS_AN_OCTAVE = 2
LARGEST = 1e30  # largest magnitude for which all arithmetic stays in float32
MAX_COUNTS = 1 << 22  # channels times symbols: refuse more before anything is allocated

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


def open_coder(quality: Quality, options: Options) -> Coder:
    """Begin a stream.

    Raises:
        DataError: the quality is not 100 times the levels (3 to 254) plus the percentage kept (1 to 99).
    """
    levels, percent = divmod(quality or 0, 100)
    if not (3 <= levels <= 254 and percent):
        raise DataError(
            f"quality {quality} of training-free: expected levels * 100 + percent kept, such as 815"
        )
    return _Coder(levels, percent / 100)


class _Coder(Coder):
    def __init__(self, levels: int, kept: float) -> None:
        self._levels, self._kept = levels, kept

    def encode(self, signal: Floats) -> bytes:
        _check(signal)
        unit, zeros = _zero_points(signal)
        distances = signal - _spread(zeros, unit)
        step = float(np.ptp(distances) / np.float32(self._levels - 1)) or 1.0
        symbols = np.rint(sparsified(distances, self._kept) / step).astype(np.int32)
        start = perf_counter()
        first = int(symbols.min())
        counts = _coarse_counts(symbols - first)
        packed = zlib.compress(counts.T.tobytes(), 9)  # one symbol's counts side by side, which are alike
        payload = rans.encode(symbols, _tables(counts, first))
        self.entropy_ms = (perf_counter() - start) * 1e3
        header = HEADER.pack(*signal.shape, step, unit, first, counts.shape[1], len(packed))
        return header + zeros.tobytes() + packed + payload

    def decode(self, data: bytes) -> Floats:
        if len(data) < HEADER.size:
            raise DataError(
                f"coded features have {len(data)} bytes, expected {HEADER.size} or more; encode the frame again"
            )
        channels, height, width, step, unit, first, kinds, packed = HEADER.unpack_from(data)
        zeros_end = HEADER.size + channels
        counts_end = zeros_end + packed
        scales = 0 < step < LARGEST and 0 < unit < LARGEST
        if not scales or channels * kinds > MAX_COUNTS or counts_end > len(data):
            raise DataError(
                f"coded features of {len(data)} bytes have a wrong header; they are damaged: encode the frame again"
            )
        start = perf_counter()
        try:
            counts = _inflate(data[zeros_end:counts_end], (kinds, channels)).T
            symbols = rans.decode(data[counts_end:], (channels, height, width), _tables(counts, first))
        except (PacketError, TablesError, ValueError, zlib.error) as error:
            raise DataError(
                f"coded features do not decode ({error}); they are damaged: encode the frame again"
            ) from None
        self.entropy_ms = (perf_counter() - start) * 1e3
        zeros = np.frombuffer(data[HEADER.size : zeros_end], np.int8)
        return np.asarray(symbols * np.float32(step) + _spread(zeros, unit), np.float32)


def sparsified(distances: Floats, kept: float) -> Floats:
    """Return the distances with all but the share of largest magnitude set to zero; ties are kept."""
    magnitudes = np.abs(distances).ravel()
    dropped = magnitudes.size - ceil(kept * magnitudes.size)
    threshold = np.partition(magnitudes, dropped)[dropped]
    return np.where(np.abs(distances) >= threshold, distances, np.float32(0))


def _check(features: Floats) -> None:
    if features.dtype != np.float32 or features.ndim != 3 or not features.size:
        raise DataError(f"features are {features.dtype} {features.shape}, expected float32 (C, h, w)")
    if not np.abs(features).max() < LARGEST:  # false for NaN too
        raise DataError(f"features reach {np.abs(features).max()}, expected finite values below {LARGEST}")


def _zero_points(features: Floats) -> tuple[float, NDArray[np.int8]]:
    """Return each channel's mean in int8, and the unit of these."""
    means = features.mean(axis=(1, 2))
    unit = float(np.float32(np.abs(means).max() / 127)) or 1.0
    return unit, np.clip(np.rint(means / unit), -127, 127).astype(np.int8)


def _spread(zeros: NDArray[np.int8], unit: float) -> Floats:
    return np.asarray(zeros * np.float32(unit), np.float32)[:, None, None]


def _coarse_counts(symbols: Ints) -> NDArray[np.uint8]:
    """Count symbols from 0 on by channel, in half octaves ``(C, symbols)``."""
    counts = np.array([np.bincount(plane.ravel(), minlength=symbols.max() + 1) for plane in symbols])
    return np.asarray(np.rint(STEPS_AN_OCTAVE * np.log2(1 + counts)), np.uint8)


def _tables(coarse: NDArray[np.uint8], first: int) -> Tables:
    """Make the tables from what both sides know."""
    counts = np.exp2(coarse / STEPS_AN_OCTAVE) - 1
    return Tables.from_counts([(first, row) for row in counts])


def _inflate(packed: bytes, shape: tuple[int, int]) -> NDArray[np.uint8]:
    raw = zlib.decompressobj().decompress(packed, shape[0] * shape[1] + 1)
    return np.frombuffer(raw, np.uint8).reshape(shape)


RIVALS = {"training-free": Rival(open_coder, QUALITIES, signal="features")}
