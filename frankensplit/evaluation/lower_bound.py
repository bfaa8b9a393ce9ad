# SPDX-License-Identifier: Apache-2.0
"""The bytes of the predictions themselves: what a robot would send that predicts on board. A lower bound, no rival."""

from __future__ import annotations

import zlib

import cv2
import numpy as np
from numpy.typing import NDArray

from frankensplit.results import BoxesResult, ClassesResult, MaskResult, Result

BOX_BYTES = 10  # four sides of 16 bits, class and score of 8 bits


def prediction_bytes(result: Result, threshold: float) -> int:
    """Return the bytes of one result, losslessly coded; boxes and classes from the head's threshold on."""
    if isinstance(result, MaskResult):
        return min(len(cv2.imencode(".png", result.mask)[1]), len(zlib.compress(_runs(result.mask), 9)))
    if isinstance(result, BoxesResult):
        return BOX_BYTES * int((result.scores >= threshold).sum())
    assert isinstance(result, ClassesResult)
    return -(-len(result.scores) // 8)


def _runs(mask: NDArray[np.uint8]) -> bytes:
    """Return the mask row by row as class indices and lengths of runs."""
    flat = mask.ravel()
    starts = np.concatenate(([0], np.flatnonzero(np.diff(flat)) + 1))
    lengths = np.diff(np.append(starts, flat.size)).astype("<u4")
    return flat[starts].tobytes() + lengths.tobytes()
