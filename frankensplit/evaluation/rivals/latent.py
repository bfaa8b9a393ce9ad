# SPDX-License-Identifier: Apache-2.0
"""Our own symbols through a general-purpose compressor: what the learned entropy model is worth.

Narrowest integers, one line of header, nothing learned; zlib and Zstandard at their highest ordinary levels.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from math import prod
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frankensplit.codec.rans import MAX_SYMBOLS
from frankensplit.errors import DataError
from frankensplit.evaluation.rivals import Coder, Options, Quality, Rival
from frankensplit.evaluation.rivals._wheel import import_wheel

HEADER = struct.Struct("<B3H")  # bytes a symbol, then channels, height and width
TYPES: dict[int, np.dtype[Any]] = {1: np.dtype("<i1"), 2: np.dtype("<i2"), 4: np.dtype("<i4")}


class LatentCoder(Coder):
    """Code int32 symbols ``(C, h, w)`` exactly.

    Args:
        compress: bytes to fewer bytes.
        decompress: the reverse, up to a number of bytes; it may raise any error on damaged data.
    """

    def __init__(self, compress: Callable[[bytes], bytes], decompress: Callable[[bytes, int], bytes]) -> None:
        self._compress, self._decompress = compress, decompress

    def encode(self, signal: NDArray[np.int32]) -> bytes:
        """Return header and compressed symbols."""
        start = perf_counter()
        kind = narrowest(signal)
        payload = self._compress(signal.astype(kind).tobytes())
        self.entropy_ms = (perf_counter() - start) * 1e3
        return HEADER.pack(kind.itemsize, *signal.shape) + payload

    def decode(self, data: bytes) -> NDArray[np.int32]:
        """Return the symbols.

        Raises:
            DataError: the bytes are truncated or damaged.
        """
        start = perf_counter()
        if len(data) < HEADER.size:
            raise DataError(
                f"coded symbols have {len(data)} bytes, expected {HEADER.size} or more; encode the frame again"
            )
        width, *shape = HEADER.unpack_from(data)
        if width not in TYPES or prod(shape) > MAX_SYMBOLS:
            raise DataError(
                f"coded symbols declare {width} bytes each and shape {shape}; they are damaged: encode the frame again"
            )
        expected = width * prod(shape)
        try:
            raw = self._decompress(data[HEADER.size :], expected)
        except Exception as error:  # each library has its own types
            raise DataError(
                f"coded symbols do not decompress ({error}); they are damaged: encode the frame again"
            ) from None
        if len(raw) != expected:
            raise DataError(
                f"coded symbols hold {len(raw)} bytes, expected {expected}; they are damaged: encode the frame again"
            )
        symbols = np.asarray(np.frombuffer(raw, TYPES[width]).reshape(shape), np.int32)
        self.entropy_ms = (perf_counter() - start) * 1e3
        return symbols


def narrowest(symbols: NDArray[np.int32]) -> np.dtype[Any]:
    """Return the narrowest of int8, int16 and int32 that holds all symbols."""
    low, high = int(symbols.min(initial=0)), int(symbols.max(initial=0))
    fitting = (kind for kind in TYPES.values() if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max)
    return next(fitting)


def _zlib(quality: Quality, options: Options) -> Coder:
    def decompress(data: bytes, at_most: int) -> bytes:
        stream = zlib.decompressobj()
        raw = stream.decompress(data, at_most + 1)
        return raw if stream.eof else b""

    return LatentCoder(lambda raw: zlib.compress(raw, 9), decompress)


def _zstd(quality: Quality, options: Options) -> Coder:
    zstandard = import_wheel("zstandard", "pip install zstandard")
    compressor, decompressor = zstandard.ZstdCompressor(level=19), zstandard.ZstdDecompressor()
    return LatentCoder(
        compressor.compress,
        lambda data, at_most: decompressor.stream_reader(io.BytesIO(data)).read(at_most + 1),
    )


RIVALS = {"zlib": Rival(_zlib, signal="latent"), "zstd": Rival(_zstd, signal="latent")}
