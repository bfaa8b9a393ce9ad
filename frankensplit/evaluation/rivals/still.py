# SPDX-License-Identifier: Apache-2.0
"""Still-image codecs as streams: each frame is a file of its own."""

from __future__ import annotations

import io
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from frankensplit.errors import ImageError, RuntimeUnavailable
from frankensplit.evaluation.rivals import Coder, Options, Rival
from frankensplit.evaluation.rivals._wheel import import_wheel

LOSSLESS = 101  # libwebp takes any quality above 100 as lossless


class StillCoder(Coder):
    """A stream of files, of which each decodes alone; without a state."""

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """Return the picture, uint8 RGB.

        Raises:
            ImageError: the file is damaged.
        """
        try:
            return np.ascontiguousarray(self._decoded(data), np.uint8)
        except Exception as err:  # each codec raises its own types
            raise ImageError(
                f"{len(data)} bytes that {type(self).__name__} cannot decode, expected what it coded: {err}"
            ) from err

    @abstractmethod
    def _decoded(self, data: bytes) -> NDArray[Any]:
        """Return the picture; any exception means damage."""


class OpenCVCoder(StillCoder):
    """A codec of OpenCV's.

    Args:
        suffix: names the format, like ".jpg".
        parameters: names and values for cv2.imencode.
    """

    def __init__(self, suffix: str, parameters: Sequence[int]) -> None:
        self._suffix, self._parameters = suffix, list(parameters)

    def encode(self, signal: NDArray[np.uint8]) -> bytes:
        """Return the file."""
        _, data = cv2.imencode(self._suffix, cv2.cvtColor(signal, cv2.COLOR_RGB2BGR), self._parameters)
        return data.tobytes()

    def _decoded(self, data: bytes) -> NDArray[Any]:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if bgr is None:
            raise ValueError("OpenCV gives no reason")
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


class AvifCoder(StillCoder):
    """AVIF by Pillow.

    Args:
        quality: 0 to 100.
        speed: 0 (slow) to 10.
        threads: for both directions.

    Raises:
        RuntimeUnavailable: no Pillow, or one without AVIF.
    """

    def __init__(self, quality: int, speed: int, threads: int) -> None:
        command = "pip install 'pillow>=11.3'"
        self._image = import_wheel("PIL.Image", command)
        if not import_wheel("PIL.features", command).check("avif"):
            raise RuntimeUnavailable(f"this Pillow has no AVIF: {command}")
        self._plugin = import_wheel("PIL.AvifImagePlugin", command)
        self._threads = threads
        self._options = {"quality": quality, "speed": speed, "max_threads": threads}

    def encode(self, signal: NDArray[np.uint8]) -> bytes:
        """Return the file."""
        file = io.BytesIO()
        self._image.fromarray(signal).save(file, "AVIF", **self._options)
        return file.getvalue()

    def _decoded(self, data: bytes) -> NDArray[Any]:
        self._plugin.DEFAULT_MAX_THREADS = self._threads  # nowhere else can the decoder's be set
        return np.asarray(self._image.open(io.BytesIO(data)))


class JxlCoder(StillCoder):
    """JPEG XL, lossy, by pillow-jxl-plugin, without the detour over Pillow's files.

    Args:
        quality: 0 to 99.
        effort: 1 (fast) to 10.
        threads: for both directions.

    Raises:
        RuntimeUnavailable: the plugin is missing.
    """

    def __init__(self, quality: int, effort: int, threads: int) -> None:
        plugin: Any = import_wheel("pillow_jxl", "pip install pillow-jxl-plugin")
        workers = threads if threads > 1 else 0  # 0 is without a pool
        self._decoder = plugin.Decoder(num_threads=workers)
        self._encoder = plugin.Encoder(
            mode="RGB",
            lossless=False,
            quality=quality,
            decoding_speed=0,
            effort=effort,
            use_container=False,
            use_original_profile=False,
            num_threads=workers,
        )

    def encode(self, signal: NDArray[np.uint8]) -> bytes:
        """Return the file."""
        height, width = signal.shape[:2]
        nothing = {"exif": None, "jumb": None, "xmp": None, "compress": False}
        return bytes(self._encoder(signal.tobytes(), width, height, jpeg_encode=False, **nothing))

    def _decoded(self, data: bytes) -> NDArray[Any]:
        _, info, pixels, *_ = self._decoder(data)
        return np.frombuffer(pixels, np.uint8).reshape(info.height, info.width, 3)


def _opencv(suffix: str, parameters: Callable[[int], Sequence[int]], *qualities: int | None) -> Rival:
    return Rival(lambda quality, options: OpenCVCoder(suffix, parameters(quality)), qualities)


def _jpeg(quality: int) -> Sequence[int]:
    return cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1


def _webp(quality: int | None) -> Sequence[int]:
    return cv2.IMWRITE_WEBP_QUALITY, LOSSLESS if quality is None else quality


def _png(quality: int | None) -> Sequence[int]:
    return cv2.IMWRITE_PNG_COMPRESSION, 3


def _avif(quality: int, options: Options) -> Coder:
    return AvifCoder(quality, speed=8, threads=options.threads)


def _jxl(quality: int, options: Options) -> Coder:
    return JxlCoder(quality, effort=4, threads=options.threads)


RIVALS = {
    # JPEG as cameras and image_transport send it (libjpeg-turbo, 4:2:0), with optimised Huffman tables.
    "jpeg": _opencv(".jpg", _jpeg, 5, 10, 15, 20, 30, 40, 60, 80, 90, 95),
    "webp": _opencv(".webp", _webp, 1, 4, 8, 14, 20, 35, 50, 75, 95),  # libwebp's method 4
    "webp-lossless": _opencv(".webp", _webp, None),
    "png": _opencv(".png", _png, None),  # image_transport's level
    # AVIF (libaom, 4:2:0) and JPEG XL at about what a robot has time for.
    "avif": Rival(_avif, (1, 10, 20, 30, 40, 50, 65, 80, 95)),
    "jxl": Rival(_jxl, (1, 10, 20, 30, 45, 60, 75, 87, 95)),
}
