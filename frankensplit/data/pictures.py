# SPDX-License-Identifier: Apache-2.0
"""Decode the pictures and class masks of data sets."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from frankensplit.data.picture_header import is_tiff, orientation, picture_size
from frankensplit.data.turn import Turn, by_orientation
from frankensplit.edge.image import check_pixels, imdecode, to_rgb
from frankensplit.errors import DataError, ImageError

PICTURE_SUFFIXES = ("jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "ppm", "pgm")
MASK_SUFFIX = "mask.png"
_ANY = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_DEPTH, _PNG_KIND = 24, 25  # offsets in IHDR, the first chunk
_GREY, _PALETTE, _GREY_ALPHA = 0, 3, 4
# Other formats that people store under a supported suffix: offset of the mark, the mark, the format's name.
_OTHERS = (
    (0, b"GIF8", "a GIF"),
    (4, b"ftyp", "HEIC, AVIF or a film"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"<", "a web page or SVG"),
)


def decode_picture(data: bytes, name: str) -> NDArray[np.uint8]:
    """Decode a picture file to RGB, to the values that the same file gives as a ``sensor_msgs/CompressedImage``.

    Grey becomes three equal channels, 16 bits are scaled to 8 with rounding, transparency is dropped. The picture is
    turned by the orientation in its metadata, as viewers do; a camera's message is not, as by cv_bridge.

    Args:
        data: the file.
        name: what errors call it.

    Returns:
        uint8 ``(H, W, 3)``.

    Raises:
        DataError: the file is damaged, cut off, or no picture.
    """
    pixels = _decode(data, name, _ANY)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise DataError(f"{name} has {pixels.dtype} pixels, expected 8 or 16 bits a channel")
    height, width = pixels.shape[:2]
    encoding = f"{'mono' if pixels.ndim == 2 else 'bgr'}{8 * pixels.itemsize}"
    step = pixels.nbytes // height
    try:
        rgb = to_rgb(
            np.ascontiguousarray(pixels).data, height=height, width=width, encoding=encoding, step=step
        )
    except ImageError as err:
        raise DataError(f"{name}: {err}") from err
    return rgb if is_tiff(data) else turn_of(data).pixels(rgb)  # OpenCV turns a TIFF itself


def turn_of(data: bytes) -> Turn:
    """Return how viewers turn a picture file."""
    return by_orientation(orientation(data))


def decode_mask(data: bytes, name: str) -> NDArray[np.uint8]:
    """Decode a class mask.

    A grey file holds the classes as its values; of a file with a palette the indices count. Values of fewer than
    8 bits are taken as they are stored, not stretched to 255.

    Returns:
        uint8 ``(H, W)``.

    Raises:
        DataError: the file is damaged, has several channels, or values above 255.
    """
    depth, kind = _png_kind(data)
    if kind == _PALETTE:
        return _palette_mask(data, name)
    pixels = _decode(data, name, cv2.IMREAD_UNCHANGED)
    if kind == _GREY_ALPHA:
        pixels = pixels[..., 0]
    if pixels.ndim == 3:
        raise DataError(
            f"{name} has {pixels.shape[2]} channels, expected one with class indices; convert colours to indices"
        )
    if pixels.dtype != np.uint8:
        low, high = pixels.min(), pixels.max()
        if pixels.dtype != np.uint16 or high > 255:
            raise DataError(
                f"{name} has {pixels.dtype} values from {low} to {high}, expected indices of 0 to 255"
            )
    mask = np.asarray(pixels, np.uint8)
    return mask // np.uint8(255 // (2**depth - 1)) if kind == _GREY and depth < 8 else mask


def _png_kind(data: bytes) -> tuple[int, int]:
    """Return bits a sample and colour type of a PNG file; those of other files are 0 and -1."""
    return (data[_PNG_DEPTH], data[_PNG_KIND]) if data.startswith(_PNG) and len(data) > _PNG_KIND else (0, -1)


def _decode(data: bytes, name: str, flags: int) -> NDArray[Any]:
    _require_payable(data, name)
    try:
        pixels = imdecode(data, flags)
    except ImageError as err:
        raise _damaged(data, name, f": {err}") from err
    if pixels is None:
        raise _damaged(data, name)
    return pixels


def _require_payable(data: bytes, name: str) -> None:
    """Read the size before anything is decoded; sees as well a file that was cut off, which OpenCV may half decode."""
    try:
        size = picture_size(data)
    except ImageError as err:
        raise _damaged(data, name, f": {err}") from err
    if size is None:
        raise _damaged(data, name)
    try:
        check_pixels(name, *size)
    except ImageError as err:
        raise DataError(str(err)) from err


def _damaged(data: bytes, name: str, cause: str = "") -> DataError:
    for at, mark, what in _OTHERS:
        if data[at : at + len(mark)] == mark:
            return DataError(f"{name} is {what} by what is in it: save it as JPEG or PNG")
    return DataError(f"{name} is damaged or no picture ({len(data)} bytes){cause}")


def _palette_mask(data: bytes, name: str) -> NDArray[np.uint8]:
    """Read the indices, for OpenCV gives only the colours."""
    try:
        from PIL import Image
    except ImportError as err:
        raise DataError(f"{name} has a palette: `pip install pillow` to read it, or save it as grey") from err
    _require_payable(data, name)
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return np.array(picture, np.uint8)
    # Pillow fails in many ways on damaged files: OSError, SyntaxError, ValueError, EOFError, zlib's own.
    except Exception as err:
        raise _damaged(data, name) from err
