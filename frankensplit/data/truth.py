# SPDX-License-Identifier: Apache-2.0
"""What is known of a frame: a class mask, boxes, or one class for the whole of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from frankensplit.errors import DataError

TruthKind = Literal["mask", "boxes", "label"]


@dataclass(frozen=True)
class Boxes:
    """Boxes of a frame, in its pixels.

    Args:
        corners: float32 ``(N, 4)`` as x0, y0, x1, y1.
        class_ids: int64 ``(N,)``.
        frame: height and width of the frame.
    """

    corners: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    frame: tuple[int, int]

    @classmethod
    def of(cls, corners: Any, class_ids: Any, frame: tuple[int, int]) -> Boxes:
        """Return boxes of anything that numpy understands, also of none, without what lies beyond the frame."""
        height, width = frame
        found = np.clip(np.asarray(corners, np.float32).reshape(-1, 4), 0, [width, height] * 2)
        inside = (found[:, 2:] > found[:, :2]).all(1)
        return cls(
            found[inside].astype(np.float32), np.asarray(class_ids, np.int64).reshape(-1)[inside], frame
        )


@dataclass(frozen=True)
class Truth:
    """The truth of one frame; what is not known is None.

    Args:
        mask: class of each pixel, uint8 ``(H, W)``.
        boxes: boxes, in pixels of the frame; no boxes say that there is nothing to find.
        label: class of the frame.
    """

    mask: NDArray[np.uint8] | None = None
    boxes: Boxes | None = None
    label: int | None = None

    @property
    def kind(self) -> TruthKind | None:
        """What is known, None where it is nothing."""
        if self.mask is not None:
            return "mask"
        return "boxes" if self.boxes is not None else None if self.label is None else "label"

    def require_mask(self) -> NDArray[np.uint8]:
        """Return the mask; raises DataError where there is none."""
        if self.mask is None:
            raise self.lacks("mask")
        return self.mask

    def require_label(self) -> int:
        """Return the class of the frame; raises DataError where there is none."""
        if self.label is None:
            raise self.lacks("label")
        return self.label

    def lacks(self, *kinds: TruthKind) -> DataError:
        """Return the error of a frame that lacks truth of these kinds."""
        return DataError(f"the frame's truth is {self.kind or 'unknown'}, expected {' or '.join(kinds)}")
