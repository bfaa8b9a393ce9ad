# SPDX-License-Identifier: Apache-2.0
"""Choose frames and their quality levels, so that a frame rate and a bit rate hold over 5 seconds."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# Hysteresis in seconds of the budget: a level stays until the account has moved from one side to the other.
# A window may be off by twice this plus one packet, which must stay below 5 % of 5 s.
HYSTERESIS_S = 0.07
INTERVALS = 16  # intervals in the mean time between frames
SMOOTHING = 0.3  # EMA factor of the content's estimated bytes: the newest packet's weight
BESIDES = 0.5  # share of the budget that previews and the like may take
PAUSE = 4.0  # unit: mean intervals; after a longer one, the camera has stopped


@dataclass(frozen=True)
class Limits:
    """What the robot may send; 0 means no limit.

    Args:
        level: best quality level to use, 0 the best of all.
        target_kbps: kilobits (1000 bits) of packets a second.
        max_fps: frames a second.
    """

    level: int = 0
    target_kbps: float = 0.0
    max_fps: float = 0.0

    @property
    def bytes_per_s(self) -> float:
        """The bit rate in bytes."""
        return self.target_kbps * 125


class RateControl:
    """Decide on each frame twice: when it arrives, and before it is encoded, when all earlier packets are booked.

    The budget is an account in bytes: it fills at the target rate, and each packet is drawn from it. When the account
    falls below its lower line, the control takes the best level at which each frame can be sent; when it rises above
    its upper line, the next better level; in between (hysteresis) the level stays. If even the last level is too much,
    frames are skipped until the account is in credit again.
    In each window of 5 s the bytes match the target to 5 % or one packet, whichever is more, if the content needs as
    many. Previews and the like are large and rare: each is paid for in instalments until the next, so packets become a
    little smaller instead of stopping; a window may be off by one preview more. Previews come less often if they would
    take more than half of the budget.

    Args:
        steps: quantiser step of each quality level. How many bytes a level takes is learned from packets; before
            the first, they are guessed to fall as the step grows.
        limits: to begin with.
        clock: monotonic seconds.
    """

    def __init__(
        self, steps: Sequence[float], limits: Limits, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last = len(steps) - 1
        self._limits = limits
        self._schedule = FrameSchedule()
        self._interval = MeanInterval()
        self._sizes = PacketSizes(steps)
        self._level = limits.level
        self._besides = Instalments()
        self._bytes = 0.0  # the account
        self._filled = clock()

    def limit(self, limits: Limits) -> None:
        """Change the limits from the next frame on; debts and credits of another target are forgiven."""
        with self._lock:
            if limits == self._limits:
                return
            self._fill()
            self._limits = limits
            self._besides.forgive()
            line = HYSTERESIS_S * limits.bytes_per_s
            self._bytes = min(max(self._bytes, -line), line)

    def takes(self) -> bool:
        """Decide on a frame that has arrived; False means that no work on it is needed."""
        with self._lock:
            if not self._schedule.takes(self._clock(), self._limits.max_fps):
                return False
            self._fill()
            if self._skips():
                self._interval.add(self._clock())
                return False
            return True

    def level(self) -> int | None:
        """Decide on a frame that is ready: its quality level, or None to skip it."""
        with self._lock:
            self._interval.add(self._clock())
            self._fill()
            self._level = self._choose()
            return None if self._skips() else self._level

    def spent(self, packet_bytes: int) -> None:
        """Tell what the frame took that ``level`` was last asked for."""
        with self._lock:
            self._sizes.learn(self._level, packet_bytes)
            if self._limits.target_kbps:
                self._bytes -= packet_bytes

    def besides_s(self, least_s: float) -> float:
        """Give the seconds from one thing that is sent besides packets to the next; at least ``least_s``."""
        with self._lock:
            return self._besides_s(least_s)

    def spent_besides(self, sent_bytes: int, least_s: float) -> None:
        """Tell what was sent besides packets, and will be again no sooner than after ``besides_s(least_s)``."""
        with self._lock:
            self._fill()
            self._besides.bytes = sent_bytes
            self._besides.add(self._clock(), self._besides_s(least_s))

    def _besides_s(self, least_s: float) -> float:
        if not self._limits.target_kbps:
            return least_s
        return max(least_s, self._besides.bytes / (BESIDES * self._limits.bytes_per_s))

    def _fill(self) -> None:
        now = self._clock()
        if self._limits.target_kbps:
            earned = self._limits.bytes_per_s * (now - self._filled) - self._besides.due(self._filled, now)
            self._bytes = min(self._bytes + earned, self._most())
        self._filled = now

    def _most(self) -> float:
        """Return the most that the account can hold: savings are for larger content, not for bursts after a silence."""
        if self._fits(self._limits.level):
            return self._line()
        return self._upper_line() + self._share()

    def _choose(self) -> int:
        best = self._limits.level
        level = min(max(self._level, best), self._last)
        if not self._limits.target_kbps:
            return best
        if self._bytes < -self._line() and not self._fits(level):
            return self._first_fitting()
        if level > best and self._fits(level) and self._bytes >= self._upper_line():
            return max(best, self._first_fitting() - 1)
        return level

    def _skips(self) -> bool:
        if not self._limits.target_kbps:
            return False
        hopeless = self._level >= self._last and not self._fits(self._last)
        # The second bound covers errors of the estimates: the target must hold in any case.
        return self._bytes < (0 if hopeless else -2 * self._line() - self._sizes.latest)

    def _first_fitting(self) -> int:
        """The best level at which each frame can be sent; the last if there is none."""
        return next((k for k in range(self._limits.level, self._last) if self._fits(k)), self._last)

    def _fits(self, level: int) -> bool:
        return self._sizes.of(level) <= self._share()

    def _share(self) -> float:
        """Bytes that the account earns from one frame to the next; ``max_fps`` bounds how near the next can be."""
        least_s = 1 / self._limits.max_fps if self._limits.max_fps else 0.0
        left = self._limits.bytes_per_s - self._besides.rate(self._filled)
        return max(0.0, left) * max(self._interval.seconds, least_s)

    def _line(self) -> float:
        return HYSTERESIS_S * self._limits.bytes_per_s

    def _upper_line(self) -> float:
        """Credit from which a better level is taken; its first packet must not overdraw the account."""
        richer = max(self._limits.level, self._first_fitting() - 1)
        return max(self._line(), self._sizes.of(richer) - self._share() - self._line())


class Instalments:
    """Bytes that were sent at once and are paid for evenly until they come again."""

    def __init__(self) -> None:
        self.bytes = 0  # size of the newest
        self._rate = 0.0  # bytes a second
        self._since = self._until = -math.inf

    def add(self, now: float, seconds: float) -> None:
        """Pay for the newest, and for the rest of the last one, over this many seconds."""
        left = self._rate * max(0.0, self._until - now)
        self._rate, self._since, self._until = (self.bytes + left) / seconds, now, now + seconds

    def due(self, start: float, end: float) -> float:
        """Give the bytes to pay for a time."""
        return self._rate * max(0.0, min(end, self._until) - max(start, self._since))

    def rate(self, now: float) -> float:
        """Give bytes a second, and still do so for as long again: the next preview must wait for a frame."""
        return self._rate if now < 2 * self._until - self._since else 0.0

    def forgive(self) -> None:
        """Owe nothing more."""
        self._rate = 0.0


class FrameSchedule:
    """Take the frames that are nearest to evenly spaced times."""

    def __init__(self) -> None:
        self._interval = MeanInterval()
        self._due = -math.inf

    def takes(self, now: float, max_fps: float) -> bool:
        """Decide on a frame; 0 takes all."""
        self._interval.add(now)
        if not max_fps:
            return True
        period = 1 / max_fps
        # The first frame, a camera that stopped, or a new max_fps.
        if not now - period < self._due <= now + period:
            self._due = now
        if now < self._due - self._interval.seconds / 2:
            return False
        self._due += period  # counting from now would add up delays
        return True


class MeanInterval:
    """Mean seconds between events; a pause does not count as one. Infinite before the second event."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=INTERVALS + 1)
        self.seconds = math.inf

    def add(self, now: float) -> None:
        """Note an event."""
        if len(self._times) > 1 and now - self._times[-1] > PAUSE * self.seconds:
            self._times.clear()
        self._times.append(now)
        if len(self._times) > 1:
            self.seconds = (self._times[-1] - self._times[0]) / (len(self._times) - 1)


class PacketSizes:
    """Bytes that each level would take for the present content, learned from the packets that were made."""

    def __init__(self, steps: Sequence[float]) -> None:
        self._relative = [steps[0] / step for step in steps]
        self._known: set[int] = set()
        self._content = 0.0  # bytes of the present content at relative size 1
        self._level = 0
        self.latest = 0

    def of(self, level: int) -> float:
        """Guess the bytes of the next frame at a level; 0 before the first packet."""
        return self._content * self._relative[level]

    def learn(self, level: int, packet_bytes: int) -> None:
        """Note a packet. A change together with the level is the level's; a change within a level is the content's."""
        if self._known and level != self._level:
            self._relate(level, packet_bytes / self._content)
        content = packet_bytes / self._relative[level]
        self._content += (content - self._content) * (SMOOTHING if self._known else 1)
        self._known.add(level)
        self._level, self.latest = level, packet_bytes

    def _relate(self, level: int, found: float) -> None:
        if level in self._known:
            self._relative[level] = math.sqrt(self._relative[level] * found)
            return
        factor = found / self._relative[level]
        self._relative = [
            one if known in self._known else one * factor for known, one in enumerate(self._relative)
        ]
