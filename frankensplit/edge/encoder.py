# SPDX-License-Identifier: Apache-2.0
"""Turn one RGB frame into one packet, and say what each stage cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from frankensplit.bundle import Codec
from frankensplit.edge.runtimes import RuntimeOptions, open_chosen
from frankensplit.errors import ImageError


@dataclass(frozen=True)
class PreparedFrame:
    """Pixels as the network takes them, uint8 ``(1, H, W, 3)``, and the size that the camera gave."""

    pixels: NDArray[np.uint8]
    height: int
    width: int
    preprocess_ms: float


@dataclass(frozen=True)
class EncodedFrame:
    """A packet and the milliseconds spent on geometry, on the network, and on coding its integers."""

    data: bytes
    preprocess_ms: float
    encode_ms: float
    entropy_ms: float


class FrameEncoder:
    """Encode frames with a codec; each is coded on its own, so any one may be lost.

    ``prepare`` and ``finish`` are the two halves of ``encode``: one thread may prepare a frame while another finishes
    the one before. Each half is for one thread at a time.

    Args:
        codec: the opened codec.
        runtime: a name in ``frankensplit.edge.runtimes.runtime_names()``, or ``auto``.
        threads: CPU threads that the network may use, at least 1.
        precision: of the network's arithmetic, one of ``codec.precisions``.
        options: what else the runtime is told; ``threads`` and the largest frame are filled in here.

    Attributes:
        choice: the runtime that runs, and why ``auto`` took no other.

    Raises:
        RuntimeUnavailable: this machine lacks the runtime.
        BundleError: the codec's encoder does not load, or not in this precision.
    """

    def __init__(
        self,
        codec: Codec,
        runtime: str = "onnxruntime",
        threads: int = 1,
        precision: str = "fp32",
        options: RuntimeOptions | None = None,
    ) -> None:
        self._codec = codec
        largest = codec.largest
        latent = codec.channels, largest[0] // codec.stride, largest[1] // codec.stride
        options = replace(options or RuntimeOptions(), threads=threads, largest=largest, latent=latent)
        self.choice = open_chosen(runtime, codec.encoder_file(precision), options)
        self._network = self.choice.value

    def encode(self, rgb: NDArray[np.uint8], level: int = 0) -> EncodedFrame:
        """Encode uint8 RGB ``(H, W, 3)`` of any size and strides; size and level may change from frame to frame.

        Raises:
            ImageError: the array is not an RGB image, or its size cannot be coded.
            SymbolError: the network's output cannot be coded, or the codec has no such level.
        """
        return self.finish(self.prepare(rgb), level)

    def prepare(self, rgb: NDArray[np.uint8]) -> PreparedFrame:
        """Scale and pad a frame as the network takes it; raises ImageError."""
        if rgb.ndim != 3:
            raise ImageError(f"image has shape {rgb.shape}, expected (height, width, 3)")
        started = perf_counter()
        height, width = rgb.shape[:2]
        pixels = self._codec.geometry(height, width).prepare(rgb)[np.newaxis]
        return PreparedFrame(pixels, height, width, 1e3 * (perf_counter() - started))

    def finish(self, frame: PreparedFrame, level: int = 0) -> EncodedFrame:
        """Run the network on a prepared frame and code its integers; raises SymbolError."""
        step = self._codec.level(level).step
        started = perf_counter()
        symbols = self._network(frame.pixels, 1 / step)[0]
        encoded = perf_counter()
        data = self._codec.pack(symbols, frame.height, frame.width, level)
        packed = perf_counter()
        return EncodedFrame(data, frame.preprocess_ms, 1e3 * (encoded - started), 1e3 * (packed - encoded))
