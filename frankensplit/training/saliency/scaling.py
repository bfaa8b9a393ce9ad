# SPDX-License-Identifier: Apache-2.0
"""Maps scaled to 0..1, and the mean of several."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FLAT = 0.5  # value of a map without any contrast, as published
NOISE = 1e-5  # contrast that is smaller, relative to the values, is rounding


def unit_range(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale each of the maps ``(N, h, w)`` to 0..1; a flat one becomes 0.5 everywhere."""
    low, high = maps.min((1, 2), keepdims=True), maps.max((1, 2), keepdims=True)
    flat = high - low <= NOISE * np.maximum(np.abs(low), np.abs(high))
    scaled = (maps - low) / np.where(flat, 1, high - low)
    return np.where(flat, FLAT, scaled).astype(np.float32)


def mean_map(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean ``(h, w)`` of maps of several heads ``(heads, h, w)``, scaled to 0..1."""
    return np.asarray(unit_range(maps.mean(axis=0, keepdims=True))[0])
