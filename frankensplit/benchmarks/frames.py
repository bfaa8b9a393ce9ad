# SPDX-License-Identifier: Apache-2.0
"""The frames that are timed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from frankensplit.data.frames import open_frames


def read_frames(spec: str, data_root: Path, count: int) -> list[NDArray[np.uint8]]:
    """Return, of the data's first frames, those that have the first one's size: streams have one size.

    Raises:
        DataError: the data cannot be read.
    """
    pictures = [frame.rgb for frame in open_frames(spec, data_root, limit=count)]
    return [rgb for rgb in pictures if rgb.shape == pictures[0].shape]
