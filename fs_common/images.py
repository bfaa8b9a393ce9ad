# SPDX-License-Identifier: Apache-2.0
"""Between sensor_msgs images and arrays, by cv_bridge or our own conversion, with one result."""

from __future__ import annotations

import array
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from frankensplit.edge.image import decode_compressed, message_to_rgb
from frankensplit.errors import ImageError, RuntimeUnavailable, shown
from frankensplit.results import MaskResult

AnyImage = Image | CompressedImage
Converter = Callable[[Image], "NDArray[np.uint8]"]
builtin_to_rgb: Converter = message_to_rgb

PNG_LEVEL = 3  # image_transport's own default

# Encodings that every cv_bridge turns into rgb8, with bytes per pixel; our own code converts the others.
CV_BRIDGE_PIXEL_BYTES = {
    **dict.fromkeys(("rgb8", "bgr8"), 3),
    **dict.fromkeys(("rgba8", "bgra8"), 4),
    **dict.fromkeys(("mono8", "bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8"), 1),
    **dict.fromkeys(("mono16", "yuv422"), 2),
}


def compressed_to_rgb(message: CompressedImage) -> NDArray[np.uint8]:
    """Decode a compressed image to rgb8 ``(H, W, 3)``; ImageError when it cannot be understood."""
    return decode_compressed(message.data, message.format)


def open_converter(name: str) -> Converter:
    """Give the raw-image converter ``auto`` (cv_bridge where it works), ``cv_bridge`` or ``builtin``.

    Raises:
        RuntimeUnavailable: cv_bridge was asked for by name and does not work here.
    """
    if name == "builtin":
        return builtin_to_rgb
    try:
        return _open_cv_bridge()
    except Exception as error:  # built against another numpy it fails in many ways, not only by ImportError
        if name == "cv_bridge":
            raise RuntimeUnavailable(
                f"cv_bridge does not work here ({error!r}): set converter to builtin"
            ) from error
        return builtin_to_rgb


def _open_cv_bridge() -> Converter:
    import cv_bridge

    bridge = cv_bridge.CvBridge()

    def convert(message: Image) -> NDArray[np.uint8]:
        # Its Python side skews rows whose padding is not a whole number of pixels, so we do not give it padded rows.
        pixel_bytes = CV_BRIDGE_PIXEL_BYTES.get(message.encoding)
        if pixel_bytes is None or message.step != message.width * pixel_bytes or not len(message.data):
            return builtin_to_rgb(message)
        try:
            return np.asarray(bridge.imgmsg_to_cv2(message, "rgb8"), dtype=np.uint8)
        except Exception as error:  # CvBridgeError, cv2.error, TypeError, ...: they share no base
            raise ImageError(
                f"cv_bridge cannot convert this {message.encoding} image: {shown(str(error))}"
            ) from error

    convert(image_message(Header(), np.zeros((2, 2, 3), np.uint8), "rgb8"))
    return convert


def image_message(header: Header, pixels: NDArray[np.uint8], encoding: str) -> Image:
    """Make an Image of uint8 pixels ``(H, W)`` (mono8) or ``(H, W, 3)`` (rgb8, bgr8)."""
    message = Image(header=header, height=pixels.shape[0], width=pixels.shape[1], encoding=encoding)
    message.step = pixels.nbytes // pixels.shape[0]
    message.data = byte_array(pixels)
    return message


def mask_of(message: Image) -> MaskResult:
    """Return the class mask in a mono8 image."""
    pixels = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    return MaskResult(np.ascontiguousarray(pixels[:, : message.width]))


def png_message(header: Header, mask: NDArray[np.uint8]) -> CompressedImage:
    """Make a CompressedImage of uint8 pixels ``(H, W)`` that loses nothing, as image_transport sends mono8 as PNG."""
    return _file_message(
        header, mask, ".png", "mono8; png compressed ", [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL]
    )


def jpeg_message(header: Header, rgb: NDArray[np.uint8], quality: int) -> CompressedImage:
    """Make a CompressedImage of uint8 RGB ``(H, W, 3)``, as image_transport sends rgb8 as JPEG.

    Raises:
        ImageError: a side is longer than a JPEG can say.
    """
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    return _file_message(
        header, bgr, ".jpg", "rgb8; jpeg compressed bgr8", [cv2.IMWRITE_JPEG_QUALITY, quality]
    )


def _file_message(
    header: Header, pixels: NDArray[Any], ending: str, file_format: str, options: list[int]
) -> CompressedImage:
    try:
        written, file = cv2.imencode(ending, pixels, options)
    except cv2.error:
        written = False
    if not written:
        height, width = pixels.shape[:2]
        raise ImageError(f"a picture of {width}x{height} cannot be written as {ending}; send smaller images")
    return CompressedImage(header=header, format=file_format, data=byte_array(file))


def byte_array(data: bytes | NDArray[np.uint8]) -> array.array[int]:
    """Copy bytes into the type that ROS messages take without looking at every element."""
    made = array.array("B")
    made.frombytes(data if isinstance(data, bytes) else np.ascontiguousarray(data).data.cast("B"))
    return made
