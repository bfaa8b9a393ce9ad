# SPDX-License-Identifier: Apache-2.0
"""PNG at image_transport's level 3 (OpenCV)."""

from __future__ import annotations

import cv2

from frankensplit.evaluation.rivals import Coder, Options
from frankensplit.evaluation.rivals._still import OpenCVCoder

QUALITIES = (None,)


def open_coder(quality: None, options: Options) -> Coder:
    """Begin a stream of PNG files."""
    return OpenCVCoder(".png", [cv2.IMWRITE_PNG_COMPRESSION, 3])
