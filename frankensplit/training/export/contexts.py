# SPDX-License-Identifier: Apache-2.0
"""Fit the shared tables of context coding, and the choice among them, to latents. The robot never needs this."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frankensplit.codec._rans_twin import MAX_MAGNITUDE, MAX_SHARED
from frankensplit.codec.context import Contexts
from frankensplit.codec.tables import Ints, Tables
from frankensplit.errors import TablesError

NEAR_LIMITS = (1, 2, 3, 5, 7, 10, 15)
ACTIVITIES = 8  # classes of activity a channel
PRIOR = 8.0  # weight of the channel's own frequencies, in symbols; it matters for rare classes
FLOOR = 0.02  # count of a symbol that never occurred in a table's classes
MARGIN = 2  # symbols beyond the range seen in training that the tables still cover
GROUPS = 128  # classes are clustered into this many groups, which are then merged into few tables
ROUNDS = 40  # rounds of each clustering
DEAD_BITS = 4.0  # a channel that contexts save less a frame has one table for all its classes: faster to code

Counts = NDArray[np.float64]


@dataclass(frozen=True)
class _Seen:
    """Counts of all symbols ``(C, K, S)`` by channel and class, and the smallest symbol."""

    counts: Counts
    low: int
    frames: int


def fit_contexts(frames: Sequence[Ints], tables: int = MAX_SHARED) -> Contexts:
    """Fit contexts to int32 latents ``(C, h, w)``, whose sizes may differ; the same latents give the same contexts.

    Each channel's limits of activity are quantiles of the activity seen. Then the frequencies of all classes of all
    channels are clustered into few tables by code length, as k-means does by distance.

    Args:
        frames: one or more latents of training frames.
        tables: at most so many shared tables, 1 to 16.

    Raises:
        TablesError: no latents, or other numbers of channels.
    """
    channels = sorted({len(symbols) for symbols in frames})
    if len(channels) != 1 or not 1 <= tables <= MAX_SHARED:
        raise TablesError(
            f"{len(frames)} latents of {channels} channels for {tables} tables, expected one or more, of one number of "
            f"channels, and 1 to {MAX_SHARED} tables"
        )
    near_limits = np.array(NEAR_LIMITS, np.int32)
    activity_limits = _activity_limits(frames)
    seen = _count(frames, near_limits, activity_limits)
    chosen, counts = _cluster(seen, tables)
    shared = Tables.from_counts([(seen.low, table) for table in counts])
    return Contexts(shared, chosen.astype(np.uint8), near_limits, activity_limits)


def near_of(symbols: Ints) -> Ints:
    """Give ``near`` of each symbol of a latent ``(C, h, w)``; see ``_rans_twin.py``."""
    padded = np.pad(_magnitudes(symbols), ((0, 0), (1, 0), (1, 1)))
    left, above = padded[:, 1:, :-2], padded[:, :-1, 1:-1]
    return 2 * left + 2 * above + padded[:, :-1, :-2] + padded[:, :-1, 2:]


def activity_of(symbols: Ints) -> Ints:
    """Give ``activity`` of each symbol of a latent ``(C, h, w)``; see ``_rans_twin.py``."""
    magnitudes = _magnitudes(symbols)
    earlier = np.cumsum(magnitudes, axis=0, dtype=np.int32) - magnitudes
    padded = np.pad(earlier, ((0, 0), (1, 1), (1, 1)))
    beside = padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:] + padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1]
    return np.asarray(2 * earlier + beside, np.int32)


def classes_of(symbols: Ints, near_limits: Ints, activity_limits: Ints) -> Ints:
    """Give the class of each symbol of a latent ``(C, h, w)``."""
    near = np.searchsorted(near_limits, near_of(symbols), side="right")
    limits_and_activity = zip(activity_limits, activity_of(symbols), strict=True)
    activity = [np.searchsorted(limits, channel, side="right") for limits, channel in limits_and_activity]
    return np.asarray(near * (activity_limits.shape[1] + 1) + np.array(activity), np.int32)


def _magnitudes(symbols: Ints) -> Ints:
    return np.asarray(np.minimum(np.abs(symbols.astype(np.int64)), MAX_MAGNITUDE), np.int32)


def _activity_limits(frames: Sequence[Ints]) -> Ints:
    """Quantiles of the activity in each channel, all different; those left over are never reached."""
    activity = [activity_of(symbols).reshape(len(symbols), -1) for symbols in frames]
    shares = np.linspace(0, 1, ACTIVITIES + 1)[1:-1]
    limits = np.full((len(frames[0]), ACTIVITIES - 1), np.iinfo(np.int32).max, np.int32)
    for channel, row in enumerate(limits):
        values = np.concatenate([one[channel] for one in activity])
        found = np.unique(np.quantile(values, shares, method="nearest"))
        found = found[found > values.min()]
        row[: len(found)] = found
    return limits


def _count(frames: Sequence[Ints], near_limits: Ints, activity_limits: Ints) -> _Seen:
    low = min(int(symbols.min()) for symbols in frames) - MARGIN
    width = max(int(symbols.max()) for symbols in frames) + MARGIN - low + 1
    channels, classes = len(frames[0]), (len(near_limits) + 1) * (activity_limits.shape[1] + 1)
    counts = np.zeros(channels * classes * width, np.int64)
    first = np.arange(channels)[:, None, None] * classes
    for symbols in frames:
        places = (first + classes_of(symbols, near_limits, activity_limits)) * width + symbols - low
        counts += np.bincount(places.ravel(), minlength=len(counts))
    return _Seen(counts.reshape(channels, classes, width).astype(np.float64), low, len(frames))


def _cluster(seen: _Seen, tables: int) -> tuple[NDArray[np.int64], Counts]:
    """Share ``tables`` tables among the classes; give the table of each and the counts of each table."""
    channels, classes, width = seen.counts.shape
    of_channel = seen.counts.sum(axis=1, keepdims=True)
    prior = PRIOR * of_channel / of_channel.sum(axis=2, keepdims=True)
    quiet = _gain(seen.counts + prior, of_channel) < DEAD_BITS * seen.frames
    counts = seen.counts + prior
    counts[quiet] = of_channel[quiet] / classes
    rows = counts.reshape(-1, width)
    chosen = _settle(rows, _start(rows, GROUPS), GROUPS)
    chosen = _settle(rows, _merge(_sums(rows, chosen, GROUPS), tables)[chosen], tables)
    used, chosen = np.unique(chosen, return_inverse=True)
    return chosen.reshape(channels, classes), _sums(rows, chosen, len(used))


def _gain(counts: Counts, of_channel: Counts) -> Counts:
    """Return the bits that one table per class would save a channel."""
    return np.asarray(
        np.sum(counts * _bits(of_channel), axis=(1, 2)) - _length(counts).sum(axis=1), np.float64
    )


def _start(rows: Counts, tables: int) -> NDArray[np.int64]:
    """Group the rows by their entropy, so that each group holds about as many bits as another."""
    entropy = _length(rows) / rows.sum(axis=1)
    order = np.argsort(entropy, kind="stable")
    bits = np.cumsum((entropy * rows.sum(axis=1))[order])
    groups = np.empty(len(rows), np.int64)
    groups[order] = np.minimum((bits / bits[-1] * tables).astype(np.int64), tables - 1) if bits[-1] > 0 else 0
    return groups


def _settle(rows: Counts, chosen: NDArray[np.int64], groups: int) -> NDArray[np.int64]:
    """Move each row to the group whose table codes it in the fewest bits, until none moves."""
    for _ in range(ROUNDS):
        again = np.argmin(rows @ _bits(_sums(rows, chosen, groups)).T, axis=1)
        if (again == chosen).all():
            break
        chosen = again
    return chosen


def _merge(sums: Counts, tables: int) -> NDArray[np.int64]:
    """Merge the two groups that lose the fewest bits by it, until ``count`` are left; give the new group of each."""
    became, gone = np.arange(len(sums)), np.zeros(len(sums), bool)
    losses = np.array([_losses(sums, one) for one in range(len(sums))])
    for _ in range(len(sums) - tables):
        kept, lost = divmod(int(np.argmin(losses)), len(sums))
        sums[kept] += sums[lost]
        became[became == lost] = kept
        gone[lost] = True
        losses[kept] = losses[:, kept] = np.where(gone, np.inf, _losses(sums, kept))
        losses[lost] = losses[:, lost] = np.inf
    return np.unique(became, return_inverse=True)[1]


def _losses(sums: Counts, one: int) -> Counts:
    """Bits lost by merging one group with each other."""
    losses = _length(sums + sums[one]) - _length(sums) - _length(sums[one])
    losses[one] = np.inf
    return losses


def _length(counts: Counts) -> Counts:
    """Bits of all symbols in tables of their own counts (last axis)."""
    return np.asarray(np.sum(counts * _bits(counts), axis=-1), np.float64)


def _sums(rows: Counts, chosen: NDArray[np.int64], tables: int) -> Counts:
    sums = np.zeros((tables, rows.shape[1]))
    np.add.at(sums, chosen, rows)
    return sums


def _bits(counts: Counts) -> Counts:
    """Bits of each symbol in a table of these counts (last axis)."""
    floored = counts + FLOOR
    return np.asarray(np.log2(floored.sum(axis=-1, keepdims=True)) - np.log2(floored), np.float64)
