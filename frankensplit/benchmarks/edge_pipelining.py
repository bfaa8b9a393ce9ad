# SPDX-License-Identifier: Apache-2.0
"""Measure the gain of preparing a frame while another is in the network, as the edge node does."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median

from frankensplit.benchmarks.edge_path import CameraPicture, RobotPath


def pipelining_gain(path: RobotPath, frames: Sequence[CameraPicture], repeats: int) -> float:
    """Return how many times more frames a second two threads encode than one, by the wall clock.

    One way takes turns with the other, round by round. It cannot be more than (all stages) / (network and entropy
    coding), and is less where the cores have other work.

    Args:
        path: a camera and an encoder.
        frames: of a round, at least 2.
        repeats: rounds of either way; the median of their ratios counts.
    """
    for way in (_one_by_one, _side_by_side):
        way(path, frames[:2])
    ratios = [
        _seconds(_one_by_one, path, frames) / _seconds(_side_by_side, path, frames) for _ in range(repeats)
    ]
    return median(ratios)


def _one_by_one(path: RobotPath, frames: Sequence[CameraPicture]) -> None:
    for frame in frames:
        path.encoder.finish(path.prepare(frame))


def _side_by_side(path: RobotPath, frames: Sequence[CameraPicture]) -> None:
    with ThreadPoolExecutor(1) as preparer:
        coming = preparer.submit(path.prepare, frames[0])
        for frame in frames[1:]:
            ready, coming = coming.result(), preparer.submit(path.prepare, frame)
            path.encoder.finish(ready)
        path.encoder.finish(coming.result())


def _seconds(
    way: Callable[[RobotPath, Sequence[CameraPicture]], None],
    path: RobotPath,
    frames: Sequence[CameraPicture],
) -> float:
    started = time.perf_counter()
    way(path, frames)
    return time.perf_counter() - started
