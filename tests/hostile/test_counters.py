# SPDX-License-Identifier: Apache-2.0
"""Every frame that came is in one counter, and forged numbers are not losses."""

from __future__ import annotations

import threading
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("rclpy", reason="needs ROS 2: run `make setup`, or source a ROS installation")
pytest.importorskip("fs_msgs.msg", reason="fs_msgs is not built: run `make setup` or colcon build")

from fs_common.meter import Meter
from fs_common.worker import NewestWins
from fs_server_node.inputs import BURST, HIGHEST_HZ, WRAP, SequenceGaps


class Clock:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def gaps_of(packets: list[tuple[float, int]]) -> dict[str, int]:
    """Count a stream of (seconds since the packet before, sequence)."""
    clock = Clock()
    gaps, found = SequenceGaps(clock), {"lost": 0, "jumps": 0}
    for seconds, sequence in packets:
        clock.now += seconds
        for name, number in gaps.before(sequence).items():
            found[name] += number
    return found


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(0, WRAP - 1)), max_size=200))
def test_forged_numbers_cannot_raise_losses_beyond_what_time_allows(packets: list[tuple[float, int]]) -> None:
    found = gaps_of(packets)
    assert found["lost"] <= HIGHEST_HZ * sum(seconds for seconds, _ in packets) + BURST
    assert found["jumps"] <= len(packets)


@given(st.integers(0, WRAP - 1), st.lists(st.integers(0, 900), max_size=100))
def test_real_losses_are_counted_and_the_number_may_wrap(first: int, missing: list[int]) -> None:
    packets, sequence = [(0.0, first)], first
    for number in missing:
        sequence = (sequence + number + 1) % WRAP
        packets.append(((number + 1) / 30, sequence))
    assert gaps_of(packets) == {"lost": sum(missing), "jumps": 0}


@pytest.mark.parametrize(
    ("packets", "lost", "jumps"),
    [
        ([(0, 5), (0.03, 3_000_000_000), (0.03, 3_000_000_001)], 0, 1),
        ([(0, 3_000_000_000), (60, 0), (0.03, 1)], 0, 1),
        ([(0, 100), (600, 18_100)], 17_999, 0),  # ten minutes without a link, at 30 Hz
        ([(0, 1), (0.03, 900_000), (0.03, 2), (0.03, 900_001), (0.03, 3)], 0, 4),
        ([(0, 7), (0, 7)], 0, 1),
    ],
    ids=["forged", "restart", "outage", "two-senders", "repeat"],
)
def test_jumps(packets: list[tuple[float, int]], lost: int, jumps: int) -> None:
    assert gaps_of(packets) == {"lost": lost, "jumps": jumps}


@settings(max_examples=40, deadline=None)
@given(
    producers=st.lists(st.lists(st.sampled_from("abc"), max_size=30), min_size=1, max_size=4),
    close_after=st.integers(0, 60),
    pause_every=st.integers(1, 7),
)
def test_a_worker_loses_no_frame_whatever_the_threads_do(
    producers: list[list[str]], close_after: int, pause_every: int
) -> None:
    meter, turn, done = Meter(), count(), threading.Barrier(len(producers) + 1)

    def pause() -> None:
        if next(turn) % pause_every == 0:
            threading.Event().wait(0.0005)

    def work(_stream: str, _item: int) -> None:
        pause()
        meter.publish(1, 1.0)

    def produce(streams: list[str]) -> None:
        done.wait()
        for stream in streams:
            meter.arrive()
            pause()
            if worker.put(stream, 0):
                meter.add(dropped=1)

    worker = NewestWins[int](work, "tested")
    threads = [threading.Thread(target=produce, args=(streams,)) for streams in producers]
    for thread in threads:
        thread.start()
    done.wait()
    while meter.totals().received < min(close_after, sum(map(len, producers))):
        threading.Event().wait(0.0005)
    meter.add(dropped=len(worker.close(60.0)))  # in the midst of it
    for thread in threads:
        thread.join()
    totals = meter.totals()
    assert totals.received == sum(map(len, producers)) == totals.published + totals.dropped
