# SPDX-License-Identifier: Apache-2.0
"""Put together what belongs to one camera frame; the stamp of the header is the key. No ROS import."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from frankensplit.results import Result

WAIT_NS = 2_000_000_000  # a frame whose parts are not all there after two seconds goes on without them
KEPT = 120


@dataclass(frozen=True)
class FrameCost:
    """What one frame cost, as its FrameReport says; milliseconds by stage, in the order of the way."""

    sequence: int
    packet_bytes: int
    stages_ms: dict[str, float]
    latency_ms: float
    lost: int
    dropped: int
    rejected: int


@dataclass
class DemoFrame:
    """One camera frame and all that came of it."""

    stamp_ns: int
    rgb: NDArray[np.uint8] | None = None
    image_bytes: int | None = None  # size of the camera's own message
    truth: NDArray[np.uint8] | None = None
    packet_bytes: int | None = None
    cost: FrameCost | None = None
    heads: tuple[str, ...] = ()
    results: dict[str, Result] = field(default_factory=dict)

    def raw_bytes(self) -> int:
        """Return the bytes of the pixels as the camera sent them; where that is not known, of RGB."""
        assert self.rgb is not None
        return self.image_bytes or self.rgb.nbytes

    def predicted(self) -> bool:
        """Tell whether the report and the result of every head that ran are there."""
        return self.cost is not None and all(name in self.results for name in self.heads)

    def complete(self, truth_expected: bool) -> bool:
        """Tell whether nothing more can come."""
        seen = self.rgb is not None and self.packet_bytes is not None
        return self.predicted() and seen and (self.truth is not None or not truth_expected)


class FrameBook:
    """Frames by stamp, given out once: when complete, or late but predicted."""

    def __init__(self) -> None:
        self._frames: dict[int, DemoFrame] = {}
        self._newest_ns = 0
        self.truth_expected = False  # set once a truth has come

    def frame(self, stamp_ns: int) -> DemoFrame:
        """Return the frame of a stamp to fill in."""
        self._newest_ns = max(self._newest_ns, stamp_ns)
        return self._frames.setdefault(stamp_ns, DemoFrame(stamp_ns))

    def take(self, last: bool = False) -> Iterator[DemoFrame]:
        """Give out and forget the frames that are done, oldest first; ``last`` waits for nothing more."""
        for stamp_ns in sorted(self._frames):
            frame = self._frames[stamp_ns]
            late = last or self._newest_ns - stamp_ns > WAIT_NS
            if frame.complete(self.truth_expected) or (late and frame.predicted()):
                yield self._frames.pop(stamp_ns)
            elif late or len(self._frames) > KEPT:
                del self._frames[stamp_ns]  # dropped on its way: the counters of edge and server tell
