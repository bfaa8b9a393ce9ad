# SPDX-License-Identifier: Apache-2.0
"""Write pictures as a video (H.264 in mp4), each at its own time. No ROS import."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from numpy.typing import NDArray

from frankensplit.writing import temporary_of

TIME_BASE = Fraction(1, 1000)


class OverlayVideo:
    """A video of pictures of one size, each from its own time on; use as a context; the file is there once whole."""

    def __init__(self, path: Path) -> None:
        self.path, self._unfinished = path, temporary_of(path)
        self.frames = 0
        self._container = av.open(str(self._unfinished), "w", "mp4", options={"movflags": "faststart"})
        self._stream: av.VideoStream | None = None
        self._start_ns = 0
        self._last_ms = -1

    def __enter__(self) -> OverlayVideo:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what the encoder holds back, and the index."""
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))
        self._container.close()
        if self._stream is None:
            self._unfinished.unlink(missing_ok=True)
        else:
            self._unfinished.replace(self.path)

    def add(self, picture: NDArray[np.uint8], stamp_ns: int) -> None:
        """Add uint8 ``(H, W, 3)`` at its time; the first sets the size, others and earlier ones are left out."""
        picture = picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]
        if self._stream is None:
            self._begin(picture, stamp_ns)
        assert self._stream is not None
        at_ms = (stamp_ns - self._start_ns) // 1_000_000
        if at_ms <= self._last_ms or picture.shape[:2] != (self._stream.height, self._stream.width):
            return
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame.pts, frame.time_base = at_ms, TIME_BASE
        self._container.mux(self._stream.encode(frame))
        self._last_ms = at_ms
        self.frames += 1

    def _begin(self, picture: NDArray[np.uint8], stamp_ns: int) -> None:
        stream = self._container.add_stream("libx264", rate=30, options={"preset": "veryfast", "crf": "20"})
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt, stream.time_base = "yuv420p", TIME_BASE
        stream.codec_context.time_base = TIME_BASE
        stream.thread_count = 1
        self._stream, self._start_ns = stream, stamp_ns
