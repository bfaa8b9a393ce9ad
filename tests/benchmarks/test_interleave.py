# SPDX-License-Identifier: Apache-2.0
"""Turns are taken frame by frame, rotate, and end with a subject's budget."""

from __future__ import annotations

from frankensplit.benchmarks.interleave import interleave, middle


class Clock:
    """Seconds that pass only in work."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_every_subject_sees_a_frame_before_any_sees_the_next():
    calls = []
    interleave("abc", [1, 2], lambda subject, frame: calls.append((frame, subject)), repeats=2)
    warm_up, timed = calls[:3], calls[3:]
    assert warm_up == [(1, "a"), (1, "b"), (1, "c")]
    assert [frame for frame, _ in timed] == [1, 1, 1, 2, 2, 2] * 2
    assert all(sorted(s for _, s in timed[i : i + 3]) == ["a", "b", "c"] for i in range(0, 12, 3))
    assert [timed[i][1] for i in range(0, 12, 3)] == ["a", "b", "c", "a"]  # who begins


def test_warming_up_is_not_kept():
    seen = iter(range(100))
    assert interleave(["a"], [None] * 3, lambda *_: next(seen)) == [[1, 2, 3]]


def test_a_slow_subject_is_measured_once_and_leaves_the_others_alone():
    clock = Clock()

    def work(seconds, frame):
        clock.now += seconds
        return frame

    slow, fast = interleave([30, 1], [1, 2, 3], work, budget_s=10, clock=clock)
    assert slow == [1] and fast == [1, 2, 3]


def test_middle_leaves_out_what_is_not_known():
    assert middle([3.0, None, 1.0, 2.0]) == 2.0
    assert middle([None]) is None
