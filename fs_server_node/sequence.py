# SPDX-License-Identifier: Apache-2.0
"""Count frames that are missing from a stream by their sequence numbers."""

from __future__ import annotations

import time
from collections.abc import Callable

WRAP = 2**32
HIGHEST_HZ = (
    1000.0  # no camera with an encoder behind it is faster, so no more frames than this can be lost a second
)
BURST = 1000.0  # frames that may be missing at once besides: packets that waited together come together


class SequenceGaps:
    """Count gaps in a uint32 sequence that wraps.

    A number that does not rise, or rises further than frames can have come since the last one, is not a loss but a
    jump: the sender has restarted, two send to one topic, or the number is forged. So all losses of a stream are
    fewer than ``HIGHEST_HZ`` times its age in seconds, and ``BURST``.

    Args:
        clock: monotonic seconds.
        alone: whether one sender has the topic for itself: where several do, a gap says nothing about losses.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, alone: Callable[[], bool] = lambda: True
    ) -> None:
        self._clock = clock
        self._alone = alone
        self._last: int | None = None
        self._at = clock()
        self._credit = BURST  # frames that can be missing now

    def before(self, sequence: int) -> dict[str, int]:
        """Take the number of the frame that came; return what to count: ``lost`` frames before it, or ``jumps``."""
        last, self._last = self._last, sequence
        now = self._clock()
        self._credit = min(self._credit, BURST) + HIGHEST_HZ * (now - self._at)
        self._at = now
        if last is None:
            return {}
        missing = (sequence - last - 1) % WRAP
        if missing > self._credit or (missing and not self._alone()):
            return {"jumps": 1}
        self._credit -= missing
        return {"lost": missing}
