# SPDX-License-Identifier: Apache-2.0
"""Some frames of training data, as the network takes them: tables, channels and calibration are fitted to them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from frankensplit.data.sources import STREET
from frankensplit.geometry import MULTIPLE, Geometry
from frankensplit.training.data.pools import read_pictures
from frankensplit.training.recipe import RecipeSource

STREET_FRAMES = 60  # frames of the synthetic street, which is endless

Frames = Sequence[NDArray[np.uint8]]  # the result of ``sample``
T = TypeVar("T")


def sample(
    sources: Sequence[RecipeSource], nominal: tuple[int, int], data_root: Path, most: int
) -> list[NDArray[np.uint8]]:
    """Return at most ``most`` frames of these sources, evenly spaced, scaled and padded: uint8 ``(H, W, 3)``.

    All are read, one after the other, and no more than twice ``most`` are held at a time.

    Args:
        sources: in this order; of the synthetic street at most ``STREET_FRAMES``.
        nominal: height and width of the box that frames are scaled to fit.
        data_root: folder of the data sets.
        most: frames, at least 1.

    Raises:
        DataError: a source cannot be read.
    """
    pictures = (rgb for source in sources for rgb in read_pictures(_short(source), data_root))
    return thinned((_prepared(rgb, nominal) for rgb in pictures), most)


def thinned(items: Iterable[T], most: int) -> list[T]:
    """Return at most this many items, evenly spaced; no more than twice as many are held at a time."""
    kept: list[T] = []
    step = 1
    for number, item in enumerate(items):
        if number % step == 0:
            kept.append(item)
        if len(kept) == 2 * most:
            kept, step = kept[::2], 2 * step
    return spread(kept, most)


def spread(items: Sequence[T], count: int) -> list[T]:
    """Return this many of the items, evenly spaced; all if there are fewer."""
    return [items[i * len(items) // count] for i in range(count)] if len(items) > count else list(items)


def _prepared(rgb: NDArray[np.uint8], nominal: tuple[int, int]) -> NDArray[np.uint8]:
    return Geometry(rgb.shape[0], rgb.shape[1], nominal[0], nominal[1], MULTIPLE).prepare(rgb)


def _short(source: RecipeSource) -> RecipeSource:
    if not source.data.startswith(f"{STREET}:"):
        return source
    return source.model_copy(update={"frames": min(source.frames or STREET_FRAMES, STREET_FRAMES)})
