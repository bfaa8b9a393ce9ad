# SPDX-License-Identifier: Apache-2.0
"""The frames of a recipe's sources, read into memory once; what cannot be read is named and counted."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from frankensplit.data.frames import Frames, LabelledFrame, open_frames
from frankensplit.data.sources import STREET
from frankensplit.data.truth import Truth
from frankensplit.errors import DataError
from frankensplit.models.heads import truth_classes
from frankensplit.training.recipe import RecipeSource

if TYPE_CHECKING:
    from frankensplit.training.saliency.cache import SaliencyCache

POOL_BYTES = 8 * 2**30  # memory for one source's frames
MOST_SAID = 10  # skipped frames that are named


class Shot(NamedTuple):
    """One training frame: uint8 RGB ``(H, W, 3)``, what is known of it, ``SOURCE/KEY``, and its saliency map."""

    rgb: NDArray[np.uint8]
    truth: Truth = Truth()
    key: str = ""
    saliency: NDArray[np.float16] | None = None
    extent: tuple[float, float] | None = None  # rows and columns of the map that cover the frame


Pool = list[Shot]


class Loaded(NamedTuple):
    """The frames of one source, the causes by which others were skipped, and the set's classes where it names them."""

    pool: Pool
    skipped: dict[str, str]
    classes: list[str] | None


def load_pool(source: RecipeSource, data_root: Path, heads: Mapping[str, dict[str, Any]]) -> Loaded:
    """Read the frames of one source into memory.

    Args:
        source: what to read, and which frames of it.
        data_root: folder of the data sets.
        heads: labels of the heads that truth is for; none: truth is in the set's own classes.

    Raises:
        DataError: the source cannot be read, no frame of it can be used, or its frames take too much memory.
    """
    frames = _open(source, data_root, heads)
    pool: Pool = []
    size = 0
    for frame in _chosen(frames, source):
        size += frame.rgb.nbytes + (0 if frame.mask is None else frame.mask.nbytes)
        if size > POOL_BYTES:
            raise DataError(
                f"{source.data}: {len(pool)} frames take {POOL_BYTES / 2**30:g} GiB of memory, the most that a source "
                "may: take fewer by `every` or `frames`"
            )
        pool.append(Shot(frame.rgb, frame.truth, f"{source.data}/{frame.key}"))
    _say(frames, source)
    if not pool:
        raise DataError(
            f"{source.data} has no frames that match include={source.include!r} exclude={source.exclude!r}"
        )
    return Loaded(pool, frames.skipped, frames.labels_of_set)


def load_held_out(
    sources: Sequence[RecipeSource], data_root: Path, heads: Mapping[str, dict[str, Any]]
) -> list[Pool]:
    """Read the frames that sources leave out by ``exclude``: apart from training, but of the training set.

    Raises:
        DataError: as ``load_pool``.
    """
    return [load_pool(left_out, data_root, heads).pool for left_out in held_out_sources(sources)]


def held_out_sources(sources: Sequence[RecipeSource]) -> list[RecipeSource]:
    """Return sources of just those frames that these leave out by ``exclude``."""
    return [
        source.model_copy(update={"include": source.exclude, "exclude": None, "frames": None})
        for source in sources
        if source.exclude and not source.data.startswith(STREET)
    ]


def read_pictures(source: RecipeSource, data_root: Path) -> Iterator[NDArray[np.uint8]]:
    """Yield the pictures of a source one by one, uint8 RGB ``(H, W, 3)``.

    Raises:
        DataError: the source cannot be read.
    """
    frames = _open(source, data_root, {})
    yield from (frame.rgb for frame in _chosen(frames, source))


def _open(source: RecipeSource, data_root: Path, heads: Mapping[str, dict[str, Any]]) -> Frames:
    limit = source.frames if source.data.startswith(STREET) else None  # it has as many as are asked for
    return open_frames(source.data, data_root, topic=source.topic, limit=limit, **truth_classes(heads))


def _chosen(frames: Frames, source: RecipeSource) -> Iterator[LabelledFrame]:
    """Take each N-th frame, keep those whose key matches, and yield the first ``frames`` of them."""
    include, exclude = re.compile(source.include or ""), source.exclude and re.compile(source.exclude)
    spaced = islice(frames, 0, None, source.every)
    matching = (
        one for one in spaced if include.search(one.key) and not (exclude and exclude.search(one.key))
    )
    return islice(matching, source.frames)


def _say(frames: Frames, source: RecipeSource) -> None:
    """Print what is odd about the truth of a source, and which of its frames were skipped."""
    notes = [*frames.truth_notes, *frames.never_seen()]
    lines = [*notes, *(f"skipped {name}: {why}" for name, why in frames.skipped.items())]
    said = len(notes) + MOST_SAID
    lines = lines[:said] + ([f"{len(frames.skipped)} frames skipped in all"] if len(lines) > said else [])
    for line in lines:
        print(f"{source.data}: {line}", file=sys.stderr)


def with_saliency(pools: Sequence[Pool], cache: SaliencyCache) -> list[Pool]:
    """Return the pools with the map of each frame, from the cache or computed for it."""
    shots = [shot for pool in pools for shot in pool]
    cache.fill(((shot.rgb, shot.truth.label) for shot in shots), len(shots))
    return [[_with_map(shot, cache) for shot in pool] for pool in pools]


def _with_map(shot: Shot, cache: SaliencyCache) -> Shot:
    values = cache.map(shot.rgb, shot.truth.label).astype(np.float16)
    return shot._replace(saliency=values, extent=cache.model.map_extent(*shot.rgb.shape[:2]))
