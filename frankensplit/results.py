# SPDX-License-Identifier: Apache-2.0
"""What task heads give back: numpy only, in pixels of the source image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class MaskResult:
    """One class index a pixel: ``mask`` is uint8 ``(H, W)``."""

    mask: NDArray[np.uint8]


@dataclass(frozen=True)
class BoxesResult:
    """Boxes: float32 ``(N, 4)`` as x0, y0, x1, y1; int64 class ids ``(N,)``; float32 scores ``(N,)`` in 0..1."""

    boxes: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    scores: NDArray[np.float32]


@dataclass(frozen=True)
class ClassesResult:
    """Independent class scores: float32 ``(K,)`` in 0..1; a class counts as present from ``threshold`` on."""

    scores: NDArray[np.float32]
    threshold: float


Result = MaskResult | BoxesResult | ClassesResult
