# SPDX-License-Identifier: Apache-2.0
"""Counters of one stream of frames: totals since the start and rates since the last look."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Totals:
    """Frames since the start; each that was ``received`` is counted once more, when it is known what became of it.

    ``published``. ``dropped``: replaced by a newer one before their turn, or still waiting at shutdown. ``skipped``:
    left out to hold a limit that was asked for. ``rejected``: bad input. ``failed``: an error of ours. ``unheard``:
    nobody listened.

    Never received: ``lost``, missing from the sequence. ``jumps`` are times that the sequence went on elsewhere.
    """

    received: int = 0
    published: int = 0
    dropped: int = 0
    skipped: int = 0
    rejected: int = 0
    lost: int = 0
    failed: int = 0
    payload_bytes: int = 0
    unheard: int = 0
    jumps: int = 0


@dataclass(frozen=True)
class Window:
    """What happened since the last look, over ``seconds``; ``latency_ms`` is a mean, NaN when unknown."""

    seconds: float
    counts: Totals
    latency_ms: float
    silent_s: float  # since the last arrival, or since the start

    @property
    def rate_hz(self) -> float:
        """Frames published a second."""
        return self.counts.published / self.seconds if self.seconds > 0 else 0.0

    @property
    def bytes_per_s(self) -> float:
        """Latent bytes a second."""
        return self.counts.payload_bytes / self.seconds if self.seconds > 0 else 0.0


class Meter:
    """Thread-safe counters; times are monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._totals = Totals()
        self._latencies_ms: list[float] = []
        self._looked = self._arrived = clock()
        self._before = Totals()

    def add(self, **counts: int) -> None:
        """Add to totals by name."""
        with self._lock:
            self._totals = _plus(self._totals, **counts)

    def arrive(self) -> None:
        """Count one frame that came in."""
        with self._lock:
            self._arrived = self._clock()
            self._totals = _plus(self._totals, received=1)

    def publish(self, payload_bytes: int, latency_ms: float) -> None:
        """Count one frame that went out."""
        with self._lock:
            self._totals = _plus(self._totals, published=1, payload_bytes=payload_bytes)
            if math.isfinite(latency_ms):
                self._latencies_ms.append(latency_ms)

    def totals(self) -> Totals:
        """Give the totals now."""
        with self._lock:
            return self._totals

    def look(self) -> Window:
        """Give what happened since the last look and begin a new window."""
        with self._lock:
            now, latencies = self._clock(), self._latencies_ms
            counts = _plus(self._totals, **{name: -value for name, value in vars(self._before).items()})
            window = Window(now - self._looked, counts, _mean(latencies), now - self._arrived)
            self._before, self._looked, self._latencies_ms = self._totals, now, []
        return window


def _plus(totals: Totals, **counts: int) -> Totals:
    return replace(totals, **{name: getattr(totals, name) + value for name, value in counts.items()})


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan
