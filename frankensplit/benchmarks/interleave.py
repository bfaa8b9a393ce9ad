# SPDX-License-Identifier: Apache-2.0
"""Take turns: every subject on one frame before any on the next, so that a busy machine is busy for all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import TypeVar

from frankensplit.progress import track

Subject = TypeVar("Subject")
Frame = TypeVar("Frame")
Sample = TypeVar("Sample")


def interleave(
    subjects: Sequence[Subject],
    frames: Sequence[Frame],
    measure: Callable[[Subject, Frame], Sample],
    *,
    repeats: int = 1,
    budget_s: float = 20.0,
    clock: Callable[[], float] = time.perf_counter,
    what: str = "measure",
) -> list[list[Sample]]:
    """Measure subjects in turn, frame by frame; the order rotates, since each leaves its own data in the caches.

    Each is called once for warming up, which is not kept, and then at least once. A subject that has used up
    ``budget_s`` seconds is left out of later turns.

    Args:
        subjects: what is compared.
        frames: what they are fed, in order.
        measure: gives one sample.
        repeats: how often the frames are gone through.
        budget_s: seconds for each subject.
        clock: seconds.
        what: said beside the progress.

    Returns:
        The samples of each subject.
    """
    samples: list[list[Sample]] = [[] for _ in subjects]
    spent = [0.0] * len(subjects)

    def call(index: int, frame: Frame) -> Sample:
        started = clock()
        sample = measure(subjects[index], frame)
        spent[index] += clock() - started
        return sample

    for index in range(len(subjects)):
        call(index, frames[0])
    turns = [frame for _ in range(repeats) for frame in frames]
    for number, frame in enumerate(track(turns, what, len(turns))):
        for step in range(len(subjects)):
            index = (number + step) % len(subjects)
            if not samples[index] or spent[index] < budget_s:
                samples[index].append(call(index, frame))
    return samples


def middle(values: Sequence[float | None]) -> float | None:
    """Return the median of the values that are there; None where there is none."""
    known = [value for value in values if value is not None]
    return median(known) if known else None
