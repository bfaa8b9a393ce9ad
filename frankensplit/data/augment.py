# SPDX-License-Identifier: Apache-2.0
"""Random scale, crop, flip and light for training; picture and mask move together."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def random_crop(
    rgb: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    size: tuple[int, int],
    scale: tuple[float, float],
    void: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a crop of ``size`` (height, width) of the frame scaled by a random factor, flipped half of the time.

    What the crop has beyond the frame's edge repeats the edge in the picture and is ``void`` in the mask.
    """
    height, width = size
    factor = float(np.exp(rng.uniform(np.log(scale[0]), np.log(scale[1]))))
    window_h, window_w = round(height / factor), round(width / factor)
    top = int(rng.integers(0, max(rgb.shape[0] - window_h, 0) + 1))
    left = int(rng.integers(0, max(rgb.shape[1] - window_w, 0) + 1))
    rgb, mask = (a[top : top + window_h, left : left + window_w] for a in (rgb, mask))
    bottom, right = window_h - rgb.shape[0], window_w - rgb.shape[1]
    if bottom or right:
        rgb = np.asarray(cv2.copyMakeBorder(rgb, 0, bottom, 0, right, cv2.BORDER_REPLICATE))
        mask = np.asarray(cv2.copyMakeBorder(mask, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=void))
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    rgb = np.asarray(cv2.resize(rgb, (width, height), interpolation=interpolation))
    mask = np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST))
    if rng.random() < 0.5:
        rgb, mask = rgb[:, ::-1], mask[:, ::-1]
    return np.ascontiguousarray(rgb), np.ascontiguousarray(mask)


def random_light(rgb: NDArray[np.uint8], strength: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the picture with random brightness, contrast, saturation and tint of up to ``strength``."""
    gain = rng.uniform(1 - strength, 1 + strength, 3) * np.array([1.0, 1.0, 1.0])
    gain = 0.7 * gain.mean() + 0.3 * gain  # mostly brightness, a little tint
    x = rgb.astype(np.float32)
    grey = x.mean(axis=2, keepdims=True)
    x = grey + (x - grey) * rng.uniform(1 - strength, 1 + strength)
    x = (x - 110.0) * rng.uniform(1 - strength, 1 + strength) + 110.0 * gain
    return np.asarray(np.clip(x, 0, 255), np.uint8)
