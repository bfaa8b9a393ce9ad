# SPDX-License-Identifier: Apache-2.0
"""Turn pictures as viewers turn them, and boxes with them: by EXIF's orientation, or a video's display matrix."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from frankensplit.data.truth import Boxes

Pixel = TypeVar("Pixel", bound=np.generic)
_MATRIX = struct.Struct("=9i")


@dataclass(frozen=True)
class Turn:
    """How a picture is shown that is stored otherwise: rows and columns exchanged first, then their order reversed."""

    exchanged: bool = False
    rows: bool = False
    columns: bool = False

    def pixels(self, stored: NDArray[Pixel]) -> NDArray[Pixel]:
        """Return ``(H, W, ...)`` as it is shown, C-contiguous."""
        shown = stored.swapaxes(0, 1) if self.exchanged else stored
        return np.ascontiguousarray(shown[:: -1 if self.rows else 1, :: -1 if self.columns else 1])

    def boxes(self, stored: Boxes) -> Boxes:
        """Return the boxes of a picture where they are once it is shown."""
        order = [1, 0, 3, 2] if self.exchanged else [0, 1, 2, 3]
        corners, frame = stored.corners[:, order], stored.frame[:: -1 if self.exchanged else 1]
        for at, reversed_ in ((0, self.columns), (1, self.rows)):
            if reversed_:
                corners[:, [at, at + 2]] = frame[1 - at] - corners[:, [at + 2, at]]
        return Boxes(corners, stored.class_ids, (frame[0], frame[1]))


UPRIGHT = Turn()
_BY_ORIENTATION = {
    2: Turn(columns=True),
    3: Turn(rows=True, columns=True),
    4: Turn(rows=True),
    5: Turn(exchanged=True),
    6: Turn(exchanged=True, columns=True),
    7: Turn(exchanged=True, rows=True, columns=True),
    8: Turn(exchanged=True, rows=True),
}


def by_orientation(value: int) -> Turn:
    """Return the turn of EXIF's orientation, 1 to 8; other values say nothing."""
    return _BY_ORIENTATION.get(value, UPRIGHT)


def by_rotation(degrees: float) -> Turn:
    """Return the quarter turn nearest to a rotation against the clock."""
    return (UPRIGHT, _BY_ORIENTATION[8], _BY_ORIENTATION[3], _BY_ORIENTATION[6])[round(degrees / 90) % 4]


def by_display_matrix(data: Any) -> Turn:
    """Return the quarter turn nearest to a display matrix of FFmpeg's: nine int32; None or another size: none."""
    if data is None or len(raw := bytes(data)) != _MATRIX.size:
        return UPRIGHT
    a, b, _, c, d, *_ = _MATRIX.unpack(raw)  # the point (x, y) is shown at (a x + c y, b x + d y)
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Turn(True, rows=b < 0, columns=c < 0)
    return Turn(False, rows=d < 0, columns=a < 0)
