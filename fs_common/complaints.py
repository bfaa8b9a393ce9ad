# SPDX-License-Identifier: Apache-2.0
"""Warnings that cannot flood: one a second with their count, or one when a state begins."""

from __future__ import annotations

import re
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


class Standing:
    """Say once that a state has begun, again when it has become another one, and once that it is over.

    Args:
        begin: says what is the matter; texts that differ in numbers only are one state.
        end: says that it is over.
        patience: looks in a row without the state after which it is over.
    """

    def __init__(self, begin: Callable[[str], object], end: Callable[[], object], patience: int = 1) -> None:
        self._begin, self._end, self._patience = begin, end, patience
        self._state = ""
        self._without = 0

    def see(self, text: str) -> None:
        """Take the state of now; empty if nothing is the matter."""
        state = re.sub(r"[0-9.]+", "#", text)
        self._without = 0 if state else self._without + 1
        if state and state != self._state:
            self._begin(text)
        elif not self._state or state or self._without < self._patience:
            return
        else:
            self._end()
        self._state = state
