# SPDX-License-Identifier: Apache-2.0
"""Paired bootstrap: how sure a loss measured on these frames is.

Neighbouring frames of a drive resemble one another, so blocks of neighbours are drawn instead of single frames (moving
block bootstrap, Kuensch 1989, blocks wrapped around the end). For frames in random order this changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from frankensplit.evaluation.metrics import HeadMetric, Statistics

RESAMPLES = 1000
BLOCK_FRAMES = 10
SEED = 0


def block_frames(frames: int) -> int:
    """Return the length of blocks: 10 frames, fewer where ten blocks would not fit."""
    return max(1, min(BLOCK_FRAMES, frames // 10))


def draws(frames: int) -> NDArray[np.int64]:
    """Return how often each frame is in each draw, int64 ``(RESAMPLES, frames)``; the same for every codec."""
    block = block_frames(frames)
    starts = np.random.default_rng(SEED).integers(0, frames, (RESAMPLES, -(-frames // block)))
    drawn = (starts[:, :, None] + np.arange(block)).reshape(RESAMPLES, -1)[:, :frames] % frames
    counts = np.zeros((RESAMPLES, frames), np.int64)
    np.add.at(counts, (np.arange(RESAMPLES)[:, None], drawn), 1)
    return counts


def loss_interval(
    metric: HeadMetric, unmodified: Sequence[Statistics], coded: Sequence[Statistics]
) -> tuple[float, float]:
    """Return the 95 % interval of the points lost, from the same draws for both."""
    counts = draws(len(unmodified))
    losses = metric.resampled(unmodified, counts) - metric.resampled(coded, counts)
    low, high = np.percentile(losses, [2.5, 97.5])
    return float(low), float(high)
