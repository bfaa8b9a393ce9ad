# SPDX-License-Identifier: Apache-2.0
"""WebP, lossless (libwebp in OpenCV, default effort)."""

from __future__ import annotations

import cv2

from frankensplit.evaluation.rivals import Coder, Options
from frankensplit.evaluation.rivals._still import OpenCVCoder

QUALITIES = (None,)


def open_coder(quality: None, options: Options) -> Coder:
    """Begin a stream of WebP files."""
    return OpenCVCoder(".webp", [cv2.IMWRITE_WEBP_QUALITY, 101])  # above 100: lossless
