# SPDX-License-Identifier: Apache-2.0
"""Draw small smooth text: OpenCV's strokes, drawn four times too large and averaged."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FINER = 4


@lru_cache(maxsize=4096)
def letters(text: str, capital_px: int) -> NDArray[np.float32]:
    """Return how much ink covers each pixel, 0 to 1, float32 ``(H, W, 1)``; capitals are ``capital_px`` high.

    The height is the same for every text: capitals and the descenders of ``g`` and ``y``.
    """
    thickness = max(1, round(capital_px * _FINER / 9))
    scale = cv2.getFontScaleFromHeight(_FONT, capital_px * _FINER, thickness)
    (width, _), _ = cv2.getTextSize(text, _FONT, scale, thickness)
    descender = round(0.4 * capital_px)
    size = (capital_px + descender + 2) * _FINER, -(-width // _FINER) * _FINER + _FINER
    canvas = np.zeros(size, np.uint8)
    cv2.putText(canvas, text, (0, (capital_px + 1) * _FINER), _FONT, scale, 255, thickness, cv2.LINE_AA)
    ink = cv2.resize(canvas, (size[1] // _FINER, size[0] // _FINER), interpolation=cv2.INTER_AREA)
    return np.asarray(ink / 255, np.float32)[..., np.newaxis]


def write(image: NDArray[np.uint8], ink: NDArray[np.float32], x: int, y: int, colour: Colour) -> None:
    """Blend ``ink`` into an RGB image with its top left corner at ``x``, ``y``; what lies outside is cut off."""
    top, left = max(0, y), max(0, x)
    region = image[top : y + ink.shape[0], left : x + ink.shape[1]]
    cover = ink[top - y :, left - x :][: region.shape[0], : region.shape[1]]
    region[...] = np.rint(region + cover * (np.array(colour, np.float32) - region))


def ink_on(colour: Colour) -> Colour:
    """Return black or white, whichever reads better on ``colour`` (luma of BT.601)."""
    luma = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    return (0, 0, 0) if luma > 140 else (255, 255, 255)
