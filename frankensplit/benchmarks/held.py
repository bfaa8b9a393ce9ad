# SPDX-License-Identifier: Apache-2.0
"""Judge a robot's predictions while it moves: which one is the newest at each time, and how old it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

LOOKS = 20  # samples of the newest prediction's age in one period

Statistic = TypeVar("Statistic")


@dataclass(frozen=True)
class HeldPrediction:
    """A prediction: when its frame was taken, and when it was there [ns]."""

    stamp_ns: int
    done_ns: int


@dataclass(frozen=True)
class Play:
    """Frames that a camera took: the first at ``start_ns``, then one a period [ns]."""

    start_ns: int
    period_ns: int
    count: int

    def place(self, stamp_ns: int) -> int:
        """Return which frame a stamp belongs to; below 0 for those before the first."""
        return round((stamp_ns - self.start_ns) / self.period_ns)

    def next_due_ns(self, place: int) -> int:
        """Return when the frame after this one is due."""
        return self.start_ns + (place + 1) * self.period_ns


def newest(arrivals: Sequence[HeldPrediction], when_ns: int) -> int | None:
    """Return the position of the prediction of the newest frame among those that are there; None where none is."""
    there = [at for at, one in enumerate(arrivals) if one.done_ns <= when_ns]
    return max(there, key=lambda at: arrivals[at].stamp_ns, default=None)


def held(play: Play, arrivals: Sequence[HeldPrediction]) -> list[tuple[int, int]]:
    """Return, the place of each frame and its newest prediction, if there is any when the next frame is due."""
    found = ((place, newest(arrivals, play.next_due_ns(place))) for place in range(play.count))
    return [(place, at) for place, at in found if at is not None]


def delivered(play: Play, arrivals: Sequence[HeldPrediction]) -> dict[int, int]:
    """Return the prediction of each frame that got one, by the frame's place, however late it came."""
    placed = {play.place(one.stamp_ns): at for at, one in enumerate(arrivals)}
    return {place: at for place, at in sorted(placed.items()) if 0 <= place < play.count}


def ages_ms(play: Play, arrivals: Sequence[HeldPrediction]) -> list[float]:
    """Return how old the newest prediction is, looked at many times in each period; none where there is none."""
    step_ns = play.period_ns / LOOKS
    looks_ns = [play.start_ns + round(look * step_ns) for look in range(1, play.count * LOOKS + 1)]
    found = ((when_ns, newest(arrivals, when_ns)) for when_ns in looks_ns)
    return [(when_ns - arrivals[at].stamp_ns) / 1e6 for when_ns, at in found if at is not None]


def figures(
    play: Play,
    arrivals: Sequence[HeldPrediction],
    score: Callable[[int, int], Statistic],
    value: Callable[[Sequence[Statistic]], float],
) -> dict[str, Any]:
    """Return how many frames were delivered, how old the newest prediction was, and what both were worth.

    Args:
        play: the camera's frames.
        arrivals: all predictions.
        score: what a frame, by its place, and a prediction, by its position, contribute to the metric.
        value: the metric over such contributions.

    Returns:
        ``delivered``, ``delivered_fps``; ``age_p50_ms`` and ``age_p95_ms`` of ``ages_ms``;
        ``value_delivered`` over the frames that got a prediction; ``value_held`` over all frames, each against the
        newest prediction at hand when the next frame is due. None where there is nothing to tell from.
    """
    came, had, old_ms = delivered(play, arrivals), held(play, arrivals), ages_ms(play, arrivals)
    p50, p95 = np.percentile(old_ms, [50, 95]) if old_ms else (None, None)
    return {
        "delivered": len(came),
        "delivered_fps": round(len(came) / (play.count * play.period_ns / 1e9), 3),
        "age_p50_ms": _rounded(p50),
        "age_p95_ms": _rounded(p95),
        "value_held": _rounded(value([score(*pair) for pair in had]) if had else None),
        "value_delivered": _rounded(value([score(*pair) for pair in came.items()]) if came else None),
    }


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(float(number), 3)
