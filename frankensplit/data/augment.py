# SPDX-License-Identifier: Apache-2.0
"""Random scale, crop and flip for training; picture, mask, boxes and maps move together.

This is ours and no library's, because a saliency map is of coarser cells than the picture, and of more than the frame:
where each of its cells goes must follow from the same numbers as where the pixels go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from frankensplit.data.truth import Boxes, Truth

MIN_VISIBLE = 0.25  # share of a box's area


@dataclass(frozen=True)
class Crop:
    """A window of a frame, scaled to ``size`` and perhaps flipped: the same for picture, mask, boxes and map.

    What the window has beyond the frame's edge repeats the edge in the picture, is void in the mask and 0 in a map.

    Args:
        frame: height and width of the frame in pixels.
        size: height and width of the crop in pixels.
        top, left: the window's corner in the frame.
        window: height and width of the window in the frame's pixels.
        flipped: whether the crop is mirrored, left to right.
    """

    frame: tuple[int, int]
    size: tuple[int, int]
    top: int
    left: int
    window: tuple[int, int]
    flipped: bool

    def picture(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Crop a picture, uint8 ``(H, W, 3)``."""
        inside, bottom, right = self._inside(rgb)
        if bottom or right:
            inside = np.asarray(cv2.copyMakeBorder(inside, 0, bottom, 0, right, cv2.BORDER_REPLICATE))
        interpolation = cv2.INTER_AREA if self.window[0] > self.size[0] else cv2.INTER_LINEAR
        return self._turn(cv2.resize(inside, self.size[::-1], interpolation=interpolation))

    def mask(self, mask: NDArray[np.uint8], void: int) -> NDArray[np.uint8]:
        """Crop a class mask, uint8 ``(H, W)``."""
        inside, bottom, right = self._inside(mask)
        if bottom or right:
            border = (0, bottom, 0, right, cv2.BORDER_CONSTANT)
            inside = np.asarray(cv2.copyMakeBorder(inside, *border, value=void))
        return self._turn(cv2.resize(inside, self.size[::-1], interpolation=cv2.INTER_NEAREST))

    def boxes(self, boxes: Boxes) -> Boxes:
        """Crop boxes; those are left out of which less than a quarter of the area is in the crop."""
        scale = np.tile(np.array(self.size[::-1]) / np.array(self.window[::-1]), 2)
        moved = (boxes.corners - np.tile([self.left, self.top], 2)) * scale
        if self.flipped:
            moved = moved[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + np.array([1, 0, 1, 0]) * self.size[1]
        seen = np.clip(moved, 0, np.tile(self.size[::-1], 2))
        kept = _areas(seen) >= MIN_VISIBLE * _areas(moved)
        return Boxes.of(seen[kept], boxes.class_ids[kept], self.size)

    def truth(self, truth: Truth, void: int) -> Truth:
        """Crop what is known of a frame; ``void`` is what a mask holds beyond the frame's edge."""
        mask = None if truth.mask is None else self.mask(truth.mask, void)
        return Truth(mask, None if truth.boxes is None else self.boxes(truth.boxes), truth.label)

    def map(
        self, values: NDArray[np.float32], stride: int, extent: tuple[float, float] | None = None
    ) -> NDArray[np.float32]:
        """Crop a map of coarse cells, bilinearly.

        Args:
            values: float32 ``(h, w)``, one value a cell.
            stride: pixels of the crop a cell of the result, along each axis.
            extent: rows and columns of cells that cover the frame, counted from the top left, where ``values`` go
                on beyond its edge; None: all.

        Returns:
            float32 ``(size[0] // stride, size[1] // stride)``.
        """
        rows, row_inside = self._cells(0, values.shape[0], stride, extent)
        columns, column_inside = self._cells(1, values.shape[1], stride, extent)
        if self.flipped:
            columns, column_inside = columns[::-1], column_inside[::-1]
        result = _between(_between(values, rows).T, columns).T * np.outer(row_inside, column_inside)
        return np.ascontiguousarray(result, np.float32)

    def _cells(
        self, axis: int, count: int, stride: int, extent: tuple[float, float] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return where in ``values`` the centre of each cell of the result lies, and whether that is in the frame."""
        centres = (np.arange(self.size[axis] // stride) + 0.5) * stride
        source = (self.top, self.left)[axis] + centres * self.window[axis] / self.size[axis]
        cells = extent[axis] if extent else count
        return np.clip(source * cells / self.frame[axis] - 0.5, 0, count - 1), source < self.frame[axis]

    def _inside(self, array: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int, int]:
        """Return the part of the window that lies in the frame, and how many rows and columns are missing."""
        inside = array[self.top : self.top + self.window[0], self.left : self.left + self.window[1]]
        return inside, self.window[0] - inside.shape[0], self.window[1] - inside.shape[1]

    def _turn(self, array: Any) -> NDArray[np.uint8]:
        return np.ascontiguousarray(array[:, ::-1] if self.flipped else array)


def _areas(corners: NDArray[Any]) -> NDArray[Any]:
    sides = corners[:, 2:] - corners[:, :2]
    return np.asarray(sides[:, 0] * sides[:, 1])


def draw_crop(
    frame: tuple[int, int], size: tuple[int, int], scale: tuple[float, float], rng: np.random.Generator
) -> Crop:
    """Draw a crop of ``size`` (height, width) of a frame scaled by a random factor, flipped half of the time."""
    height, width = size
    factor = float(np.exp(rng.uniform(np.log(scale[0]), np.log(scale[1]))))
    window = round(height / factor), round(width / factor)
    top = int(rng.integers(0, max(frame[0] - window[0], 0) + 1))
    left = int(rng.integers(0, max(frame[1] - window[1], 0) + 1))
    return Crop(frame, size, top, left, window, bool(rng.random() < 0.5))


def _between(values: NDArray[np.float32], places: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return rows interpolated linearly at fractional row numbers."""
    below = np.minimum(places.astype(np.int64), max(len(values) - 2, 0))
    share = (places - below).astype(np.float32)[:, np.newaxis]
    above = np.minimum(below + 1, len(values) - 1)
    return np.asarray(values[below] * (1 - share) + values[above] * share, np.float32)
