# SPDX-License-Identifier: Apache-2.0
"""Warnings that cannot flood: at most one a second, with the last cause and how many there were."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Complaints:
    """Collect causes and warn at once, then at most once every ``period_s``, with the count."""

    def __init__(
        self,
        warn: Callable[[str], object],
        period_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._warn = warn
        self._period_s = period_s
        self._clock = clock
        self._lock = threading.Lock()
        self._pending = 0
        self._cause = ""
        self._quiet_until = float("-inf")

    def add(self, cause: str) -> None:
        """Complain about one frame."""
        with self._lock:
            self._pending += 1
            self._cause = cause
        self.flush()

    def flush(self) -> None:
        """Warn of what has piled up, if the last warning is long enough ago."""
        with self._lock:
            now = self._clock()
            if not self._pending or now < self._quiet_until:
                return
            count, cause = self._pending, self._cause
            self._pending, self._quiet_until = 0, now + self._period_s
        self._warn(cause if count == 1 else f"{cause} ({count} such frames since the last warning)")
