# SPDX-License-Identifier: Apache-2.0
"""The newest-wins worker, with a worker that waits for the test."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator

import pytest

from fs_common.worker import NewestWins

PATIENCE_S = 30.0


class Gate:
    """A worker whose work waits until it is let through."""

    def __init__(self) -> None:
        self.done: list[tuple[str, int]] = []
        self.began, self.may_end = threading.Semaphore(0), threading.Semaphore(0)
        self.worker = NewestWins[int](self._work, "gate")

    def _work(self, stream: str, item: int) -> None:
        self.began.release()
        assert self.may_end.acquire(timeout=PATIENCE_S)
        self.done.append((stream, item))

    def wait_began(self) -> None:
        """Wait until the worker holds a frame."""
        assert self.began.acquire(timeout=PATIENCE_S)


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Give a gate that is open at the end."""
    made = Gate()
    yield made
    made.may_end.release(100)
    made.worker.close()


def test_the_newest_waits_and_older_ones_are_dropped(gate: Gate) -> None:
    assert gate.worker.put("a", 0) is False
    gate.wait_began()
    assert [gate.worker.put("a", number) for number in (1, 2, 3)] == [False, True, True]
    gate.may_end.release(2)
    gate.wait_began()
    gate.worker.close()
    assert gate.done == [("a", 0), ("a", 3)]


def test_a_fast_stream_does_not_starve_a_slow_one(gate: Gate) -> None:
    gate.worker.put("fast", 0)
    gate.wait_began()
    gate.worker.put("fast", 1)
    gate.worker.put("slow", 0)
    gate.worker.put("fast", 2)
    gate.may_end.release()
    gate.wait_began()
    gate.worker.put("fast", 3)
    for _ in range(2):
        gate.may_end.release()
        gate.wait_began()
    gate.may_end.release()
    gate.worker.close()
    assert gate.done == [("fast", 0), ("fast", 2), ("slow", 0), ("fast", 3)]


def test_close_ends_the_frame_at_work_and_forgets_the_rest(gate: Gate) -> None:
    gate.worker.put("a", 0)
    gate.wait_began()
    gate.worker.put("a", 1)
    closing = threading.Thread(target=gate.worker.close)
    closing.start()
    gate.may_end.release()
    closing.join(PATIENCE_S)
    assert not closing.is_alive()
    assert gate.done == [("a", 0)]


def test_a_held_frame_is_replaced_until_it_is_let_go() -> None:
    done: list[int] = []
    ended = threading.Event()
    hold_s = [math.inf]

    def work(_stream: str, item: int) -> None:
        done.append(item)
        ended.set()

    worker = NewestWins[int](work, "held", lambda: hold_s[0])
    assert [worker.put("a", number) for number in (1, 2, 3)] == [False, True, True]
    hold_s[0] = 0.0
    worker.wake()
    assert ended.wait(PATIENCE_S)
    worker.close()
    assert done == [3]


def test_close_does_not_wait_for_a_held_frame() -> None:
    done: list[int] = []
    worker = NewestWins[int](lambda _stream, item: done.append(item), "held", lambda: math.inf)
    worker.put("a", 1)
    worker.close(PATIENCE_S)
    assert not any(thread.name == "held" for thread in threading.enumerate())
    assert done == []
