# SPDX-License-Identifier: Apache-2.0
"""Counters, warnings, gaps and what diagnostics make of them."""

from __future__ import annotations

import math

import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus

from fs_common.complaints import Complaints
from fs_common.diagnostics import judge
from fs_common.meter import Meter, Totals, Window
from fs_common.times import elapsed_ms
from fs_server_node.inputs import SequenceGaps


class Clock:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_complaints_come_once_a_period_and_lose_no_count() -> None:
    said: list[str] = []
    clock = Clock()
    complaints = Complaints(said.append, period_s=1.0, clock=clock)
    for number in range(5):
        complaints.add(f"cause {number}")
    complaints.flush()
    assert said == ["cause 0"]
    clock.now += 1.5
    complaints.flush()
    complaints.add("cause 5")
    assert said == ["cause 0", "cause 4 (4 such frames since the last warning)"]
    clock.now += 1.5
    complaints.flush()
    complaints.flush()
    assert said[2:] == ["cause 5"]


@pytest.mark.parametrize(
    ("numbers", "lost"),
    [
        ([5, 6, 7], [0, 0, 0]),
        ([5, 9, 10], [0, 3, 0]),
        ([2**32 - 2, 2**32 - 1, 0, 2], [0, 0, 0, 1]),
        ([1000, 0, 1, 3], [0, 0, 0, 1]),
        ([7, 7, 8], [0, 0, 0]),
    ],
    ids=["none", "gap", "wrap", "restart", "repeat"],
)
def test_gaps(numbers: list[int], lost: list[int]) -> None:
    gaps = SequenceGaps()
    assert [gaps.before(number).get("lost", 0) for number in numbers] == lost


def test_meter_gives_rates_of_the_window_and_totals_of_all_time() -> None:
    clock = Clock()
    meter = Meter(clock)
    for latency_ms in (10.0, 30.0, math.nan):
        meter.arrive()
        meter.publish(500, latency_ms)
    clock.now += 2.0
    first = meter.look()
    assert (first.rate_hz, first.bytes_per_s, first.latency_ms, first.silent_s) == (1.5, 750.0, 20.0, 2.0)
    clock.now += 1.0
    meter.add(dropped=2, rejected=1)
    second = meter.look()
    assert (second.rate_hz, second.counts.dropped, second.silent_s) == (0.0, 2, 3.0)
    assert math.isnan(second.latency_ms)
    assert meter.totals() == Totals(received=3, published=3, dropped=2, rejected=1, payload_bytes=1500)


def window(silent_s: float = 0.1, **counts: int) -> Window:
    """Make a second's window."""
    return Window(1.0, Totals(**counts), math.nan, silent_s)


@pytest.mark.parametrize(
    ("seen", "idle", "silence", "level", "words"),
    [
        (window(published=30, payload_bytes=90_000), "", "", DiagnosticStatus.OK, "30.0 Hz, 90.0 kB/s"),
        (window(received=30), "idle: nobody subscribes", "", DiagnosticStatus.OK, "idle"),
        (window(), "", "nothing came", DiagnosticStatus.STALE, "nothing came"),
        (window(), "idle", "nothing came", DiagnosticStatus.STALE, "nothing came"),
        (window(received=5, rejected=5), "", "", DiagnosticStatus.WARN, "5 frames rejected: the cause"),
        (
            window(received=5, rejected=1, failed=1),
            "",
            "",
            DiagnosticStatus.ERROR,
            "1 frames failed: the cause",
        ),
    ],
)
def test_judgement(seen: Window, idle: str, silence: str, level: bytes, words: str) -> None:
    found, message = judge(seen, idle, silence, "the cause")
    assert found == level
    assert words in message


def test_elapsed_is_unknown_where_clocks_disagree() -> None:
    early, late = Time(sec=10, nanosec=999_000_000), Time(sec=11, nanosec=1_000_000)
    assert elapsed_ms(early, late) == pytest.approx(2.0)
    assert math.isnan(elapsed_ms(late, early))
    assert math.isnan(elapsed_ms(Time(), late))
    assert math.isnan(elapsed_ms(Time(sec=1), Time(sec=12 * 365 * 86_400)))  # a stamp of a recording
