# SPDX-License-Identifier: Apache-2.0
"""Frames of a video file, decoded by FFmpeg."""

from __future__ import annotations

import errno
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from frankensplit.bundle import MAX_SOURCE_PIXELS
from frankensplit.data.bags import BAG_FILES
from frankensplit.data.limits import MAX_CAUSE
from frankensplit.data.sources import DEFAULT_FPS, SECOND_NS, Place, Skipped, Source, SourceFrame
from frankensplit.data.turn import Turn, by_display_matrix, by_rotation
from frankensplit.errors import DataError, one_line, shown

ORDER = 1000  # last, because a video may be any file


class VideoSource(Source):
    """Frames of a video file, decoded by FFmpeg."""

    kind = "video"

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._total: int | None = None
        with self._open() as container:
            rate = self._stream(container).average_rate
            self.rate_hz = float(rate) if rate else None

    def _open(self) -> Any:
        import av

        bound = {"max_pixels": str(MAX_SOURCE_PIXELS)}
        try:
            # A playlist can name other files and addresses; it may open only local files.
            container = av.open(str(self.path), options={"protocol_whitelist": "file", **bound})
        except (av.error.FFmpegError, OSError, ValueError) as err:
            raise DataError(
                f"cannot open {shown(str(self.path))} ({self.path.stat().st_size} bytes): it is not a whole video "
                f"({one_line(str(err), MAX_CAUSE)}), nor does it end as a picture, .tar shard, .json of COCO's "
                f"annotations or rosbag ({', '.join(BAG_FILES)})"
            ) from err
        for stream in container.streams.video:
            stream.codec_context.options = bound
        return container

    def _stream(self, container: Any) -> Any:
        """Return the main stream of pictures, as FFmpeg chooses it: not a cover, and of most pixels."""
        from av.stream import Disposition

        streams = container.streams.video
        if not streams:
            raise DataError(f"{self.path} has no picture stream")
        films = [one for one in streams if not one.disposition & Disposition.attached_pic] or streams
        best = container.streams.best("video")
        return best if best in films else films[0]

    def _decoded(self) -> Iterator[Any]:
        """Yield FFmpeg's frames, and a Skipped for each packet that it cannot decode."""
        import av

        with self._open() as container:
            packets = container.demux(self._stream(container))
            for number in itertools.count():
                try:
                    packet = next(packets, None)
                    frames = packet.decode() if packet is not None else []
                except av.error.FFmpegError as err:
                    # FFmpeg says only this about a frame that is too large.
                    hint = f"; frames have at most {MAX_SOURCE_PIXELS} pixels" * (err.errno == errno.EINVAL)
                    yield Skipped(f"{self.path.name} packet {number}", f"{err}{hint}")
                    continue
                if packet is None:
                    return
                yield from frames

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[SourceFrame | Skipped]:
        """Yield each frame that can be decoded; the earlier ones are decoded too, but not converted."""
        found = 0
        for position, frame in enumerate(itertools.islice(self._decoded(), stop)):
            missing = isinstance(frame, Skipped)
            if position >= start:
                yield frame if missing else self._frame(frame, found)
            found += not missing

    def _frame(self, frame: Any, found: int) -> SourceFrame:
        seconds = found / (self.rate_hz or DEFAULT_FPS) if frame.time is None else frame.time
        rgb = _turn_of_frame(frame).pixels(frame.to_ndarray(format="rgb24"))
        return SourceFrame(rgb, None, round(seconds * SECOND_NS), f"{self.path.stem}_{found:06d}")

    def count(self, stop: int | None = None) -> int:
        """Count the frames by decoding them, for a container may state another number."""
        if self._total is None:
            found = sum(1 for _ in itertools.islice(self._decoded(), stop))
            if stop is not None and found == stop:
                return found
            self._total = found
        return self._total if stop is None else min(self._total, stop)

    def files(self) -> Sequence[Path]:
        """Return the video."""
        return [self.path]


def _turn_of_frame(frame: Any) -> Turn:
    """Return how players turn a frame."""
    try:
        return by_display_matrix(frame.side_data.get("DISPLAYMATRIX"))
    # PyAV cannot list notes that FFmpeg knows and PyAV does not, such as EXIF in a film of JPEGs.
    except ValueError:
        return by_rotation(frame.rotation)


def open_place(place: Place, fps: float, topic: str | None) -> Source | None:
    """Open a file that no other kind has taken."""
    return VideoSource(place.path) if place.path and not place.folder else None
