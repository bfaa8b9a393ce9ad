# SPDX-License-Identifier: Apache-2.0
"""Code a picture by one of OpenCV's still-image codecs: what several rivals share."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray


def code_still(rgb: NDArray[np.uint8], suffix: str, options: Sequence[int]) -> tuple[int, NDArray[np.uint8]]:
    """Return the file's size in bytes and the decoded picture, uint8 RGB."""
    _, data = cv2.imencode(suffix, rgb[:, :, ::-1], list(options))
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None
    return len(data), np.ascontiguousarray(decoded[:, :, ::-1], np.uint8)
