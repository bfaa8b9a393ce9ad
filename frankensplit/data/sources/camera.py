# SPDX-License-Identifier: Apache-2.0
"""A camera of this machine."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import cv2
import numpy as np

from frankensplit.data.sources import SECOND_NS, Place, Skipped, Source, SourceFrame, is_camera
from frankensplit.errors import DataError

ORDER = 10


class CameraSource(Source):
    """A camera of this machine, by its index."""

    kind = "camera"

    def __init__(self, index: int) -> None:
        super().__init__()
        self.index = index
        self._capture = cv2.VideoCapture(index)
        if not self._capture.isOpened():
            raise DataError(
                f"camera {index} cannot be opened: is it there, and may this user read /dev/video{index}?"
            )

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[SourceFrame | Skipped]:
        """Yield frames until the camera gives no more."""
        return itertools.islice(self._frames(), start, stop)

    def _frames(self) -> Iterator[SourceFrame]:
        start = cv2.getTickCount()
        for number in itertools.count():
            good, bgr = self._capture.read()
            if not good:
                raise DataError(f"camera {self.index} gave no frame after {number} frames")
            stamp_ns = round((cv2.getTickCount() - start) / cv2.getTickFrequency() * SECOND_NS)
            rgb = np.ascontiguousarray(bgr[:, :, ::-1], np.uint8)
            yield SourceFrame(rgb, None, stamp_ns, f"camera{self.index}_{number:06d}")


def open_place(place: Place, fps: float, topic: str | None) -> Source | None:
    """Open the camera of an index."""
    return CameraSource(int(place.spec)) if is_camera(place.spec, place.data_root) else None
