# SPDX-License-Identifier: Apache-2.0
"""When a preparation may begin, on a clock that the test turns."""

from __future__ import annotations

import math

import pytest

from fs_edge_node.pace import MARGIN, Pace


class Clock:
    """A clock that the test turns, and a count of calls for attention."""

    def __init__(self) -> None:
        self.now = 10.0
        self.wakes = 0

    def __call__(self) -> float:
        return self.now

    def wake(self) -> None:
        """Count a call."""
        self.wakes += 1


@pytest.fixture
def clock() -> Clock:
    """Give a clock at rest."""
    return Clock()


@pytest.fixture
def pace(clock: Clock) -> Pace:
    """Give a pace that has seen one frame: 10 ms of preparation, 100 ms in the network."""
    made = Pace(clock.wake, clock)
    run(made, clock, 0.1)
    return made


def run(pace: Pace, clock: Clock, seconds: float) -> None:
    """Let a frame through."""
    pace.prepared(0.01)
    with pace.finishing():
        clock.now += seconds


def test_nothing_is_held_back_while_the_network_is_idle(pace: Pace, clock: Clock) -> None:
    assert Pace(clock.wake, clock).hold_s() == 0
    assert pace.hold_s() == 0


def test_no_second_frame_is_prepared_while_one_waits(pace: Pace) -> None:
    pace.prepared(0.01)
    assert pace.hold_s() == math.inf


def test_a_preparation_begins_so_that_it_ends_with_the_network(pace: Pace, clock: Clock) -> None:
    pace.prepared(0.01)
    with pace.finishing():
        assert pace.hold_s() == pytest.approx(0.1 - MARGIN * 0.01)
        clock.now += 0.08
        assert pace.hold_s() == pytest.approx(0.02 - MARGIN * 0.01)
        clock.now += 0.08
        assert pace.hold_s() == 0
    run(pace, clock, 0.05)
    pace.prepared(0.01)
    with pace.finishing():
        assert pace.hold_s() == pytest.approx(0.05 - MARGIN * 0.01)


def test_whoever_waits_is_called_at_both_ends_of_the_network(pace: Pace, clock: Clock) -> None:
    before = clock.wakes
    pace.prepared(0.01)
    with pace.finishing():
        assert clock.wakes == before + 1
    assert clock.wakes == before + 2


def test_a_frame_that_fails_in_the_network_holds_nobody_back(pace: Pace) -> None:
    pace.prepared(0.01)
    with pytest.raises(ValueError, match="lost"), pace.finishing():
        raise ValueError("lost")
    assert pace.hold_s() == 0
