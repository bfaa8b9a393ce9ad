# SPDX-License-Identifier: Apache-2.0
"""Ages and worth of held predictions, on sequences whose figures are counted by hand."""

from __future__ import annotations

import pytest

from frankensplit.benchmarks.held import LOOKS, HeldPrediction, Play, delivered, figures, held, newest

MS = 1_000_000
PLAY = Play(start_ns=1000 * MS, period_ns=100 * MS, count=4)  # frames at 1000, 1100, 1200 and 1300 ms
BEFORE = HeldPrediction(900 * MS, 950 * MS)


def arrival(place: int, after_ms: int) -> HeldPrediction:
    """Make the prediction of a frame that is there so long after the frame was taken."""
    stamp_ns = PLAY.start_ns + place * PLAY.period_ns
    return HeldPrediction(stamp_ns, stamp_ns + after_ms * MS)


def figures_of(*arrivals: HeldPrediction) -> dict:
    """Score 100 for a frame's own prediction, and 40 less for each frame that it is older."""

    def score(place: int, at: int) -> float:
        return 100.0 - 40 * (place - PLAY.place(arrivals[at].stamp_ns))

    return figures(PLAY, arrivals, score, lambda scores: sum(scores) / len(scores))


def test_a_steady_stream() -> None:
    found = figures_of(BEFORE, *(arrival(place, 50) for place in range(4)))

    assert (found["delivered"], found["delivered_fps"]) == (4, 10.0)
    assert found["value_held"] == found["value_delivered"] == 100.0
    assert found["age_p50_ms"] == pytest.approx(100, abs=100 / LOOKS)  # 50 to 150, evenly
    assert found["age_p95_ms"] == pytest.approx(145, abs=100 / LOOKS)


def test_a_lost_frame_is_held_over_by_the_one_before() -> None:
    found = figures_of(BEFORE, arrival(0, 50), arrival(2, 50), arrival(3, 50))

    assert (found["delivered"], found["delivered_fps"]) == (3, 7.5)
    assert found["value_delivered"] == 100.0
    assert found["value_held"] == (100 + 60 + 100 + 100) / 4


def test_a_prediction_that_comes_after_the_next_frame_is_late_but_delivered() -> None:
    arrivals = [BEFORE, *(arrival(place, 150) for place in range(4))]

    assert delivered(PLAY, arrivals) == {0: 1, 1: 2, 2: 3, 3: 4}
    assert held(PLAY, arrivals) == [(0, 0), (1, 1), (2, 2), (3, 3)]  # each time the frame before


def test_nothing_delivered() -> None:
    found = figures_of(BEFORE)

    assert (found["delivered"], found["delivered_fps"], found["value_delivered"]) == (0, 0.0, None)
    assert found["value_held"] == (60 + 20 - 20 - 60) / 4  # 1, 2, 3 and 4 frames old
    assert found["age_p95_ms"] == pytest.approx(100 + 0.95 * 400, abs=10)


def test_without_any_prediction_there_is_nothing_to_hold() -> None:
    found = figures_of()

    assert found["value_held"] is found["age_p50_ms"] is None


def test_newest_is_by_the_frame_not_by_the_arrival() -> None:
    late_but_old = [arrival(1, 10), arrival(0, 150)]

    assert newest(late_but_old, 1500 * MS) == 0
    assert newest(late_but_old, 1105 * MS) is None
