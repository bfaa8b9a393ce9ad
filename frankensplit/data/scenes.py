# SPDX-License-Identifier: Apache-2.0
"""Single pictures of the synthetic street with their class masks, in splits that share none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frankensplit.data.street import Street
from frankensplit.errors import DataError

STREET_FIRST_SEED = {"train": 1000, "val": 500, "demo": 0}
STREET_FRAMES_PER_SEED = 4
STREET_FRAME_STEP = 40  # frames of one street are this far apart, so that they differ


@dataclass(frozen=True)
class ExampleFrame:
    """One frame, uint8 RGB ``(H, W, 3)``, and its class mask, uint8 ``(H, W)``."""

    key: str
    rgb: NDArray[np.uint8]
    mask: NDArray[np.uint8]


def street_scene(split: str, number: int) -> ExampleFrame:
    """Return one frame of the synthetic street's split, which has no end.

    Raises:
        DataError: the split is unknown.
    """
    seed, index = divmod(number, STREET_FRAMES_PER_SEED)
    frame = Street(STREET_FIRST_SEED[require_split(split)] + seed).frame(index * STREET_FRAME_STEP)
    return ExampleFrame(f"street_{split}_{number:05d}", frame.rgb, frame.mask)


def require_split(split: str) -> str:
    """Return a split of the synthetic street; raises DataError where there is no such split."""
    if split not in STREET_FIRST_SEED:
        raise DataError(f"street:{split} is unknown: the splits are {sorted(STREET_FIRST_SEED)}")
    return split
