# SPDX-License-Identifier: Apache-2.0
"""Fit the entropy tables of a quality level, and contexts where these make packets smaller, and write both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from frankensplit.bundle import level_file, sha256_of
from frankensplit.codec import Contexts, encode, encode_smaller
from frankensplit.codec.tables import Ints, Tables
from frankensplit.training.export.contexts import fit_contexts

COUNT_MARGIN = 2  # symbols beyond the range seen in training that a fitted table still covers


def write_level(
    folder: Path, level: int, frames: Sequence[Ints], held_out: Sequence[Ints], tables: Tables | None = None
) -> tuple[dict[str, str], dict[str, float]]:
    """Write ``tables.npz`` and ``contexts.npz`` of a level (``tables.1.npz`` and so on from level 1).

    Contexts are written only if they make the packets of the held-out frames smaller.

    Args:
        folder: of the codec.
        level: 0 is the best quality.
        frames: int32 latents ``(C, h, w)`` to fit to.
        held_out: others, to choose by; none: ``frames``.
        tables: of a finished level, which stay; None: fitted to ``frames``.

    Returns:
        The level's hashes as ``codec.json`` has them: ``tables_sha256`` and, where contexts were kept,
        ``contexts_sha256``. And mean payload bytes of a held-out frame, ``static_bytes`` and ``context_bytes``, where
        the latter are of the smaller payload of each frame.

    Raises:
        TablesError: no frames, or of different numbers of channels.
        SymbolError: the tables are of another number of channels.
    """
    tables = tables or fit_tables(frames)
    contexts = fit_contexts(frames)
    held_out = held_out or frames
    figures = {
        "static_bytes": float(np.mean([len(encode(symbols, tables)) for symbols in held_out])),
        "context_bytes": float(
            np.mean([len(encode_smaller(symbols, tables, contexts)[0]) for symbols in held_out])
        ),
    }
    hashes = {"tables_sha256": _save(tables, folder / level_file("tables", level))}
    contexts_file = folder / level_file("contexts", level)
    contexts_file.unlink(missing_ok=True)
    if figures["context_bytes"] < figures["static_bytes"]:
        hashes["contexts_sha256"] = _save(contexts, contexts_file)
    return hashes, figures


def fit_tables(frames: Iterable[Ints]) -> Tables:
    """Fit tables to the counts of the symbols of int32 latents ``(C, h, w)``."""
    stacked = [np.concatenate([c.ravel() for c in channel]) for channel in zip(*frames, strict=True)]
    counts = []
    for symbols in stacked:
        low, high = int(symbols.min()) - COUNT_MARGIN, int(symbols.max()) + COUNT_MARGIN
        counts.append((low, np.bincount(symbols - low, minlength=high - low + 1)))
    return Tables.from_counts(counts)


def ideal_bytes(tables: Tables, frames: Sequence[Ints]) -> float:
    """Give the mean bytes that int32 latents cost with these tables; a payload adds 4 to 8 to it."""
    return float(np.mean([tables.ideal_bits(symbols) for symbols in frames])) / 8


def _save(content: Tables | Contexts, path: Path) -> str:
    content.save(path)
    return sha256_of(path)
