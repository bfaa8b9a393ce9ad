# SPDX-License-Identifier: Apache-2.0
"""JPEG as cameras and image_transport send it (libjpeg-turbo in OpenCV, 4:2:0), with optimised Huffman tables."""

from __future__ import annotations

import cv2

from frankensplit.evaluation.rivals import Coder, Options
from frankensplit.evaluation.rivals._still import OpenCVCoder

QUALITIES = (5, 10, 15, 20, 30, 40, 60, 80, 90, 95)


def open_coder(quality: int, options: Options) -> Coder:
    """Begin a stream of JPEG files."""
    return OpenCVCoder(".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1])
