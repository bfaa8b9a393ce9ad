# SPDX-License-Identifier: Apache-2.0
"""JPEG as cameras and image_transport send it (libjpeg-turbo in OpenCV, 4:2:0), with optimised Huffman tables."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from frankensplit.evaluation.still import code_still

QUALITIES = (5, 10, 15, 20, 30, 40, 60, 80, 90)


def code(rgb: NDArray[np.uint8], quality: int) -> tuple[int, NDArray[np.uint8]]:
    """Return the coded size in bytes and the decoded picture."""
    return code_still(rgb, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1])
