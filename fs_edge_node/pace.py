# SPDX-License-Identifier: Apache-2.0
"""When to begin with preparing a frame, so that it is ready just when the network is."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

MARGIN = 1.5  # times as long as the last one took: a network that waits costs more than a frame that does


class Pace:
    """Hold back the next preparation while the network is far from ready for it.

    Frames that are prepared as they come are thrown away when the network is slower than the camera, and on a robot
    with few cores that takes time from the network (seen on one core: half of its frames a second). So each run of
    the network gets one prepared frame, begun as late as the last durations allow, of the newest image then.

    Args:
        wake: called when ``hold_s`` may have become shorter.
        clock: monotonic seconds.
    """

    def __init__(self, wake: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._wake = wake
        self._clock = clock
        self._lock = threading.Lock()
        self._prepare_s = self._finish_s = 0.0  # durations of the last frame
        self._began: float | None = None  # the frame in the network, if there is one
        self._waiting = False  # a prepared frame

    def hold_s(self) -> float:
        """Seconds to wait before the next preparation; infinite while a prepared frame waits."""
        with self._lock:
            if self._waiting:
                return math.inf
            if self._began is None:
                return 0.0
            return max(0.0, self._began + self._finish_s - MARGIN * self._prepare_s - self._clock())

    def prepared(self, seconds: float) -> None:
        """Note a frame that waits for the network now, and what its preparation took."""
        with self._lock:
            self._prepare_s, self._waiting = seconds, True

    @contextmanager
    def finishing(self) -> Iterator[None]:
        """Note that the waiting frame is in the network."""
        began = self._clock()
        with self._lock:
            self._began, self._waiting = began, False
        self._wake()
        try:
            yield
        finally:
            with self._lock:
                self._finish_s, self._began = self._clock() - began, None
            self._wake()
