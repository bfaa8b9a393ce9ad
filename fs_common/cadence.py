# SPDX-License-Identifier: Apache-2.0
"""Estimate from stamps how many of a camera's images arrive."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

KEPT, LEAST = 60, 40  # steps between stamps that are looked at, and of which something can be said
LONGEST_GAP = 10  # periods that one gap counts at most: the node may not have listened meanwhile
OFF_GRID = 0.25  # share of a period
FEW = 0.7  # share of the images below which they are far below the camera's rate


@dataclass(frozen=True)
class Share:
    """Images that arrive, of those that the camera takes, both a second of stamps."""

    arriving_hz: float
    taken_hz: float


class Cadence:
    """Compare the steps between stamps with the shortest common one, which is the camera's period.

    A camera that is slow has steps that are alike; where images are lost, most steps are multiples of a shorter one
    that occurs among them. That must be so of older and newer steps alike, or the camera has only become slower.
    """

    def __init__(self) -> None:
        self._last_ns = 0
        self._steps_ns: deque[int] = deque(maxlen=KEPT)

    def add(self, stamp_ns: int) -> None:
        """Take the stamp of an image that came; one that does not rise says nothing."""
        step_ns, self._last_ns = stamp_ns - self._last_ns, stamp_ns
        if 0 < step_ns < stamp_ns:
            self._steps_ns.append(step_ns)

    def few(self) -> Share | None:
        """Give the rates where far fewer images arrive than the camera takes; None where that cannot be said."""
        steps = list(self._steps_ns)
        if len(steps) < LEAST:
            return None
        half = len(steps) // 2
        found = [_few(part) for part in (steps[:half], steps[half:], steps)]
        return found[-1] if all(found) else None


def _few(steps_ns: list[int]) -> Share | None:
    steps = sorted(steps_ns)
    short = steps[len(steps) // 10]
    alike = [one for one in steps if one < 1.5 * short]
    period_ns = alike[len(alike) // 2]
    periods = [one / period_ns for one in steps]
    on_grid = sum(abs(one - round(one)) < OFF_GRID for one in periods)
    share = len(steps) / sum(max(1, min(round(one), LONGEST_GAP)) for one in periods)
    if share >= FEW or on_grid < 0.8 * len(steps):
        return None
    return Share(1e9 / period_ns * share, 1e9 / period_ns)
