# SPDX-License-Identifier: Apache-2.0
"""Turn what cameras send into RGB pixels: raw encodings of sensor_msgs, and JPEG, PNG and WebP files."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from frankensplit.bundle import MAX_SOURCE_PIXELS
from frankensplit.edge.file_header import Declared, declared
from frankensplit.edge.heard import heard
from frankensplit.errors import ImageError, one_line, shown

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

MAX_SIDE = 65535  # a packet carries each side in 16 bits
# A file whose pixels take up to FREE_BYTES (22 megapixels in 8 bits, 0.3 s) is always decoded, a larger one only if the
# file is large, too: at most MAX_EXPANSION times smaller. A camera's emptiest frame, a black baseline JPEG, expands
# 200 times, a PNG of zeros 1000 times, a lossless WebP 100,000 times.
FREE_BYTES = 1 << 26
MAX_EXPANSION = 256
MAX_PASSED_PIXELS = 4 * MAX_SOURCE_PIXELS  # progressive JPEG, times passes; 26 megapixels in 10 take 1.5 s
JPEG, JPEG_END = b"\xff\xd8", b"\xff\xd9"
# The warnings by which libjpeg says that pixels are lost, or may be: see _made_up.
_DAMAGE = re.compile(rb"Corrupt JPEG data: |Premature end of JPEG|Inconsistent progression")
_LEFT_OVER = re.compile(rb"Corrupt JPEG data: (\d{1,9}) extraneous bytes before marker")
MAX_LEFT_OVER = 16
_DECODE = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION


@dataclass(frozen=True)
class Encoding:
    """How a pixel lies in memory, and OpenCV's code that makes RGB of it (None: it is RGB).

    ``cell`` is the smallest width and height that the encoding can say a colour with.
    """

    itemsize: int
    channels: int
    code: int | None
    cell: tuple[int, int] = (1, 1)


# OpenCV names a Bayer pattern by its second row, ROS by its first; so ROS's rggb is OpenCV's BG.
_PATTERNS: dict[str, tuple[int, int | None, tuple[int, int]]] = {
    "rgb": (3, None, (1, 1)),
    "bgr": (3, cv2.COLOR_BGR2RGB, (1, 1)),
    "rgba": (4, cv2.COLOR_RGBA2RGB, (1, 1)),
    "bgra": (4, cv2.COLOR_BGRA2RGB, (1, 1)),
    "mono": (1, cv2.COLOR_GRAY2RGB, (1, 1)),
    "bayer_rggb": (1, cv2.COLOR_BayerBG2RGB, (3, 3)),
    "bayer_bggr": (1, cv2.COLOR_BayerRG2RGB, (3, 3)),
    "bayer_gbrg": (1, cv2.COLOR_BayerGR2RGB, (3, 3)),
    "bayer_grbg": (1, cv2.COLOR_BayerGB2RGB, (3, 3)),
}
_UYVY = Encoding(1, 2, cv2.COLOR_YUV2RGB_UYVY, (2, 1))
_YUYV = Encoding(1, 2, cv2.COLOR_YUV2RGB_YUY2, (2, 1))
ENCODINGS: dict[str, Encoding] = {
    **{
        f"{pattern}{8 * itemsize}": Encoding(itemsize, channels, code, cell)
        for pattern, (channels, code, cell) in _PATTERNS.items()
        for itemsize in (1, 2)
    },
    "uyvy": _UYVY,
    "yuv422": _UYVY,
    "yuyv": _YUYV,
    "yuv422_yuy2": _YUYV,
}


def to_rgb(
    data: ReadableBuffer, *, height: int, width: int, encoding: str, step: int, is_bigendian: bool = False
) -> NDArray[np.uint8]:
    """Convert the pixels of a ``sensor_msgs/Image`` to RGB, to the values that cv_bridge gives.

    Args:
        data: ``height * step`` bytes.
        height, width: pixels, 1 to 65535.
        encoding: one of ``ENCODINGS``.
        step: bytes from one row to the next; rows may be padded.
        is_bigendian: byte order of 16-bit encodings.

    Returns:
        uint8 ``(height, width, 3)``; for ``rgb8`` a view of ``data``, otherwise a new array.

    Raises:
        ImageError: the encoding is unknown, or sizes and data do not belong together.
    """
    layout = ENCODINGS.get(encoding)
    if layout is None:
        raise ImageError(
            f"encoding {shown(encoding)} is not a colour or grey image; known are {', '.join(sorted(ENCODINGS))}"
        )
    _check_size(height, width, encoding, layout)
    return _convert(_view(data, height, width, step, is_bigendian, encoding, layout), layout)


def message_to_rgb(message: Any) -> NDArray[np.uint8]:
    """Convert a ``sensor_msgs/Image`` of any library to RGB ``(height, width, 3)``; as :func:`to_rgb`."""
    return to_rgb(
        message.data,
        height=message.height,
        width=message.width,
        encoding=message.encoding,
        step=message.step,
        is_bigendian=bool(message.is_bigendian),
    )


def decode_compressed(data: ReadableBuffer, file_format: str = "") -> NDArray[np.uint8]:
    """Decode the file in a ``sensor_msgs/CompressedImage`` to RGB.

    The file's own first bytes say what it is. Of ``file_format`` only a Bayer encoding before the semicolon
    counts (``bayer_rggb8; jpeg compressed``): then the file holds the sensor's mosaic.

    Args:
        data: a JPEG, PNG or WebP file; an orientation in its metadata is ignored, as cv_bridge does.
        file_format: the message's ``format``.

    Returns:
        uint8 ``(height, width, 3)``.

    Raises:
        ImageError: another kind of file, a damaged one, or one that would take too long: it declares more than
            ``MAX_SOURCE_PIXELS``, or many more bytes of pixels than its own.
    """
    file = bytes(memoryview(data))
    size = declared(file, file_format)
    _check_cost(size, len(file))
    pixels = imdecode(file, _DECODE)
    if pixels is None or pixels.shape[:2] != size[:2]:
        raise ImageError(
            f"compressed image of {len(file)} bytes is damaged (format {shown(file_format)}); "
            "check the camera's link"
        )
    encoding = _file_encoding(pixels, file_format)
    _check_size(size.height, size.width, encoding, ENCODINGS[encoding])
    return _convert(pixels, ENCODINGS[encoding])


def check_pixels(what: str, height: int, width: int) -> None:
    """Raise ImageError where a file declares more pixels than any frame or mask may have."""
    if height * width > MAX_SOURCE_PIXELS:
        raise ImageError(
            f"{what} declares {width}x{height} pixels, at most {MAX_SOURCE_PIXELS} are decoded; scale it down"
        )


def _check_cost(size: Declared, file_bytes: int) -> None:
    """Raise ImageError where decoding would hold up the frames that follow."""
    height, width, pixel_bytes, passes = size
    check_pixels("compressed image", height, width)
    most = max(FREE_BYTES, MAX_EXPANSION * file_bytes)
    if height * width * pixel_bytes > most:
        raise ImageError(
            f"compressed image of {file_bytes} bytes declares {width}x{height} pixels of {pixel_bytes} bytes, at most "
            f"{most} bytes in all are decoded from so small a file; scale it down, or send it raw"
        )
    if height * width * passes > MAX_PASSED_PIXELS:
        raise ImageError(
            f"compressed image declares {width}x{height} pixels in {passes} scans, at most {MAX_PASSED_PIXELS} pixels "
            "times scans are decoded; send baseline JPEG"
        )


def _check_size(height: int, width: int, encoding: str, layout: Encoding) -> None:
    least_width, least_height = layout.cell
    if not (least_height <= height <= MAX_SIDE and least_width <= width <= MAX_SIDE):
        raise ImageError(
            f"{encoding} image is {width}x{height}, expected {least_width}x{least_height} to "
            f"{MAX_SIDE}x{MAX_SIDE}; check width and height of the message"
        )
    if layout.channels == 2 and width % 2:
        raise ImageError(
            f"{encoding} image is {width} wide, but two pixels share a colour: width has to be even"
        )


def _view(
    data: ReadableBuffer,
    height: int,
    width: int,
    step: int,
    is_bigendian: bool,
    encoding: str,
    layout: Encoding,
) -> NDArray[Any]:
    """View the bytes as pixels; 16-bit data of odd step or foreign byte order have to be copied."""
    pixel_bytes, found = layout.itemsize * layout.channels, memoryview(data).nbytes
    if step < width * pixel_bytes:
        raise ImageError(
            f"step is {step}, a row of {width} {encoding} pixels needs at least {width * pixel_bytes} bytes"
        )
    if found != height * step:
        raise ImageError(
            f"image data are {found} bytes, expected height * step = {height} * {step} = {height * step}"
        )
    dtype = np.dtype(np.uint8 if layout.itemsize == 1 else ">u2" if is_bigendian else "<u2")
    shape, strides = (height, width, layout.channels), (step, pixel_bytes, layout.itemsize)
    pixels = np.ndarray(shape, dtype, memoryview(data).cast("B"), strides=strides)
    native: NDArray[Any] = np.require(pixels, dtype.newbyteorder("="), "A")
    return native[..., 0] if layout.channels == 1 else native


def _convert(pixels: NDArray[Any], layout: Encoding) -> NDArray[np.uint8]:
    """Convert colour at the source's depth, then scale 65535 to 255 with rounding: the order of cv_bridge."""
    rgb = pixels if layout.code is None else cv2.cvtColor(pixels, layout.code)
    return np.asarray(
        rgb if layout.itemsize == 1 else cv2.convertScaleAbs(rgb, alpha=255 / 65535), dtype=np.uint8
    )


def imdecode(file: bytes, flags: int) -> NDArray[Any] | None:
    """Decode a picture file by OpenCV to grey ``(H, W)`` or ``(H, W, channels)``; None where that cannot.

    A JPEG without its end marker is decoded if it is whole.

    Raises:
        ImageError: a JPEG is damaged inside or cut off, so that a part of its pixels is made up.
    """
    jpeg = file[:2] == JPEG
    listening: AbstractContextManager[list[bytes]] = heard(_DAMAGE) if jpeg else nullcontext([])
    with listening as damage:
        try:
            pixels = cv2.imdecode(np.frombuffer(file + JPEG_END if jpeg else file, np.uint8), flags)
        except cv2.error:
            pixels = None
    if any(_made_up(line, file) for line in damage):
        raise ImageError(
            f"compressed image of {len(file)} bytes is damaged inside or cut off: "
            f"{one_line(damage[0].decode('ascii', 'replace').strip())}; check the camera's link"
        )
    return pixels


def _made_up(line: bytes, file: bytes) -> bool:
    """Tell whether libjpeg made up pixels, by what it says.

    That bytes are left over loses none: some webcams write a few, or fill up. Many that are not filling are those of
    the blocks behind lost ones, which were decoded as others.
    """
    found = _LEFT_OVER.match(line)
    if found is None:
        return True
    count, end = int(found[1]), file.rfind(JPEG_END)
    left = file[:end][-count:] if end >= 0 else file[-count:]
    return count > MAX_LEFT_OVER and len(set(left)) > 1


def _file_encoding(pixels: NDArray[Any], file_format: str) -> str:
    """Name the encoding of decoded pixels; a file with one channel may hold a Bayer mosaic."""
    depth = 8 * pixels.itemsize
    if pixels.ndim == 3:
        return f"bgr{depth}"
    pattern = file_format.partition(";")[0].strip().rstrip("0123456789")
    mosaic = f"{pattern}{depth}"
    return mosaic if pattern.startswith("bayer_") and mosaic in ENCODINGS else f"mono{depth}"
