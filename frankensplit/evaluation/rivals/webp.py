# SPDX-License-Identifier: Apache-2.0
"""WebP, lossy (libwebp in OpenCV, method 4)."""

from __future__ import annotations

import cv2

from frankensplit.evaluation.rivals import Coder, Options
from frankensplit.evaluation.rivals._still import OpenCVCoder

QUALITIES = (1, 4, 8, 14, 20, 35, 50, 75, 95)


def open_coder(quality: int, options: Options) -> Coder:
    """Begin a stream of WebP files."""
    return OpenCVCoder(".webp", [cv2.IMWRITE_WEBP_QUALITY, quality])
