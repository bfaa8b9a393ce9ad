# SPDX-License-Identifier: Apache-2.0
"""Tables and latents for the tests of the codec: random, and drawn by hypothesis."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from frankensplit.codec import Contexts, Tables
from frankensplit.codec._rans_twin import NEARS, OUTLIER_LIMIT

Ints = NDArray[np.int32]


def limits(tables: Tables, channel: int) -> tuple[int, int]:
    """Smallest and largest symbol that can be coded."""
    offset, top = int(tables.offsets[channel]), int(tables.sizes[channel]) - 2
    return offset - OUTLIER_LIMIT, offset + top + OUTLIER_LIMIT - 1


def random_tables(rng: np.random.Generator, channels: int, widest: int) -> Tables:
    """Flat, peaked, one-hot and bell-shaped rows, with sentinels from least to large."""
    pmfs, offsets = [], []
    for _ in range(channels):
        length = int(rng.integers(1, widest + 1))
        bell = np.exp(-np.abs(np.arange(length) - length // 2) / rng.uniform(0.1, 3))
        one_hot = np.eye(length)[rng.integers(length)]
        shapes = [rng.random(length) + 1e-3, rng.random(length) ** 20 + 1e-6, one_hot, bell]
        pmf = shapes[rng.integers(len(shapes))]
        pmfs.append(np.append(pmf / pmf.sum(), rng.choice([0, 1e-4, 0.3])))
        offsets.append(int(rng.choice([-length // 2, 0, -(10**9), 10**9])))
    return Tables.from_pmfs(pmfs, offsets)


def random_symbols(rng: np.random.Generator, tables: Tables, height: int, width: int) -> Ints:
    """Symbols as likely as the tables say, and some outliers of all sizes up to the limits."""
    planes = []
    for channel in range(tables.channels):
        low, high = limits(tables, channel)
        row = tables.cdf[channel, : tables.sizes[channel]]
        drawn = np.searchsorted(row, rng.integers(0, 65536, height * width), side="right") - 1
        plane = drawn.astype(np.int64) + tables.offsets[channel]
        far = np.rint(2 ** rng.uniform(0, 28, plane.shape) * rng.choice([-1, 1], plane.shape)).astype(
            np.int64
        )
        outlier = rng.random(plane.shape) < rng.choice([0, 0.02, 0.5])
        planes.append(np.clip(np.where(outlier, plane + far, plane), low, high))
    return np.array(planes, np.int32).reshape(tables.channels, height, width)


def random_contexts(rng: np.random.Generator, channels: int, widest: int) -> Contexts:
    """Contexts of all sizes; some channels have one table for all their classes, as dead ones do."""
    shared = random_tables(rng, int(rng.integers(1, 17)), widest)
    offsets = rng.integers(-widest // 2 - 1, 2, shared.channels).astype(np.int32)
    near = np.sort(rng.choice(np.arange(1, NEARS), int(rng.integers(0, 8)), replace=False)).astype(np.int32)
    activity = np.sort(rng.integers(0, 200, (channels, int(rng.integers(0, 9)))), axis=1).astype(np.int32)
    classes = (len(near) + 1) * (activity.shape[1] + 1)
    chosen = rng.integers(0, shared.channels, (channels, classes)).astype(np.uint8)
    chosen[rng.random(channels) < 0.3] = rng.integers(shared.channels)
    return Contexts(Tables(shared.cdf, shared.sizes, offsets), chosen, near, activity)


def random_latent(rng: np.random.Generator, channels: int, height: int, width: int) -> Ints:
    """Symbols like a trained encoder's, planes of zeros among them, and some outliers that any table can code."""
    scales = rng.choice([0, 0.1, 0.5, 3], (channels, 1, 1)) * rng.choice([0.2, 1, 5], (1, height, width))
    latent = np.rint(rng.laplace(0, 1, (channels, height, width)) * scales)
    far = rng.choice([-1, 1], latent.shape) * np.rint(2 ** rng.uniform(0, 26.9, latent.shape))
    outlier = rng.random(latent.shape) < rng.choice([0, 0.01])
    return np.where(outlier, far, latent).astype(np.int32)


@st.composite
def tables_drawn(draw: st.DrawFn) -> Tables:
    """Tables of 1 to 4 channels."""
    counts = st.lists(st.integers(0, 70000), min_size=1, max_size=12).filter(any)
    offsets = st.integers(-(2**31) + OUTLIER_LIMIT, 2**31 - OUTLIER_LIMIT - 12)
    rows = draw(st.lists(st.tuples(offsets, counts), min_size=1, max_size=4))
    return Tables.from_counts(rows)


@st.composite
def contexts_drawn(draw: st.DrawFn) -> tuple[Contexts, Ints]:
    """Contexts, and a latent of up to 3x4x5 that they can code."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    channels, height, width = draw(st.integers(1, 3)), draw(st.integers(0, 4)), draw(st.integers(0, 5))
    contexts = random_contexts(rng, channels, draw(st.integers(1, 12)))
    low = int(contexts.tables.offsets.max()) - OUTLIER_LIMIT
    high = int((contexts.tables.offsets + contexts.tables.sizes).min()) - 2 + OUTLIER_LIMIT - 1
    near = st.integers(-20, 20)
    symbol = st.one_of(near, near, st.sampled_from([low, high]), st.integers(low, high))
    size = channels * height * width
    symbols = np.array(draw(st.lists(symbol, min_size=size, max_size=size)), np.int32)
    return contexts, symbols.reshape(channels, height, width)


@st.composite
def latents_drawn(draw: st.DrawFn) -> tuple[Tables, Ints]:
    """Tables, and a latent of up to 3x4 that they can code."""
    tables = draw(tables_drawn())
    height, width = draw(st.integers(0, 3)), draw(st.integers(0, 4))
    symbols = np.empty((tables.channels, height, width), np.int32)
    for channel in range(tables.channels):
        low, high = limits(tables, channel)
        near = st.integers(
            int(tables.offsets[channel]) - 2, int(tables.offsets[channel] + tables.sizes[channel])
        )
        symbol = st.one_of(near, st.integers(low, high), st.sampled_from([low, high]))
        plane = draw(st.lists(symbol, min_size=height * width, max_size=height * width))
        symbols[channel] = np.reshape(np.array(plane, np.int32), (height, width))
    return tables, symbols
