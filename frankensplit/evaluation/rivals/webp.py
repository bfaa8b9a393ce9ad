# SPDX-License-Identifier: Apache-2.0
"""WebP, lossy (libwebp in OpenCV, method 4)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from frankensplit.evaluation.still import code_still

QUALITIES = (1, 4, 8, 14, 20, 35, 50, 75)


def code(rgb: NDArray[np.uint8], quality: int) -> tuple[int, NDArray[np.uint8]]:
    """Return the coded size in bytes and the decoded picture."""
    return code_still(rgb, ".webp", [cv2.IMWRITE_WEBP_QUALITY, quality])
