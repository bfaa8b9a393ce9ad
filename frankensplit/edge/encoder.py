# SPDX-License-Identifier: Apache-2.0
"""Turn one RGB frame into one packet, and say what each stage cost."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from frankensplit.bundle import Codec
from frankensplit.edge.runtimes import open_runtime
from frankensplit.errors import ImageError


@dataclass(frozen=True)
class EncodedFrame:
    """A packet and the milliseconds spent on geometry, on the network, and on coding its integers."""

    data: bytes
    preprocess_ms: float
    encode_ms: float
    entropy_ms: float


class FrameEncoder:
    """Encode frames with a codec; each is coded on its own, so any one may be lost. For one thread at a time.

    Args:
        codec: the opened codec.
        runtime: a name in ``frankensplit.edge.runtimes.RUNTIMES``.
        threads: CPU threads that the network may use, at least 1.

    Raises:
        RuntimeUnavailable: this machine lacks the runtime.
        BundleError: the codec's encoder does not load.
    """

    def __init__(self, codec: Codec, runtime: str = "onnxruntime", threads: int = 1) -> None:
        self._codec = codec
        self._network = open_runtime(runtime, codec.encoder_path, threads)

    def encode(self, rgb: NDArray[np.uint8]) -> EncodedFrame:
        """Encode uint8 RGB ``(H, W, 3)`` of any size and strides; sizes may change from frame to frame.

        Raises:
            ImageError: the array is no RGB image, or its size cannot be coded.
            SymbolError: the network's output cannot be coded.
        """
        if rgb.ndim != 3:
            raise ImageError(f"image has shape {rgb.shape}, expected (height, width, 3)")
        height, width = rgb.shape[:2]
        started = perf_counter()
        frame = self._codec.geometry(height, width).prepare(rgb)[np.newaxis]
        prepared = perf_counter()
        symbols = self._network(frame)[0]
        encoded = perf_counter()
        data = self._codec.pack(symbols, height, width)
        packed = perf_counter()
        return EncodedFrame(
            data=data,
            preprocess_ms=1e3 * (prepared - started),
            encode_ms=1e3 * (encoded - prepared),
            entropy_ms=1e3 * (packed - encoded),
        )
