# SPDX-License-Identifier: Apache-2.0
"""Choose one setting per codec: the cheapest that is good enough in an evaluation, or the middle of its sweep."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frankensplit.data.limits import MAX_RESULT_BYTES, read_json
from frankensplit.errors import DataError
from frankensplit.evaluation import OURS, RAW
from frankensplit.evaluation.rivals import Quality, load_rival


@dataclass(frozen=True)
class RatedSetting:
    """A codec at one quality; the last three as evaluated, None where they were not."""

    codec: str
    quality: Quality
    bytes_per_frame: float | None = None
    loss_points: float | None = None
    reaches: bool | None = None  # loses no more than was asked for


def add_choice(parser: argparse.ArgumentParser) -> None:
    """Add ``--at-loss`` and ``--head``."""
    parser.add_argument(
        "--at-loss",
        type=float,
        default=0.4,
        metavar="POINTS",
        help="loss that a setting may have in the results (default: %(default)s)",
    )
    parser.add_argument("--head", help="head whose loss counts (default: the results' first)")


def read_results(path: Path) -> dict[str, Any]:
    """Read what ``frankensplit evaluate --json`` wrote.

    Raises:
        DataError: it cannot be read, or is something else.
    """
    try:
        results = read_json(path, MAX_RESULT_BYTES)
        if not results["heads"] or not all(head["rows"] for head in results["heads"].values()):
            raise ValueError("no rows")
    except (DataError, ValueError, KeyError, TypeError, AttributeError) as err:
        raise DataError(
            f"{path} is not a result of an evaluation ({type(err).__name__}: {err}); "
            "write one with frankensplit evaluate ... --json"
        ) from err
    return dict(results)


def choose(results: dict[str, Any], head: str | None, at_loss: float) -> dict[str, RatedSetting]:
    """Choose each codec's setting: the cheapest that loses no more than this, else the one that loses least.

    Args:
        results: of an evaluation.
        head: its name; None for the first.
        at_loss: points.

    Raises:
        DataError: no such head.
    """
    heads = results["heads"]
    head = head or next(iter(heads))
    if head not in heads:
        raise DataError(f"no head {head!r} in the results: there are {', '.join(heads)}")
    by_codec: dict[str, list[dict[str, Any]]] = {}
    for row in heads[head]["rows"]:
        by_codec.setdefault(row["codec"], []).append(row)
    return {codec: _cheapest(rows, at_loss) for codec, rows in by_codec.items()}


def settings_of(rivals: Sequence[str], chosen: Mapping[str, RatedSetting]) -> list[RatedSetting]:
    """Return our setting, those of rivals, and raw frames.

    Args:
        rivals: ``NAME``, ``NAME:QUALITY,QUALITY`` or ``all``, as ``frankensplit evaluate`` takes them.
        chosen: settings of rivals without a quality; the middle of the sweep where there is none.

    Raises:
        DataError: a rival is unknown, or a quality is not a number.
    """
    from frankensplit.evaluation.evaluate import parse_rival

    settings = [chosen.get(OURS) or representative(OURS)]
    for names, asked in map(parse_rival, rivals):
        for name in names:
            given = [RatedSetting(name, quality) for quality in asked or ()]
            settings += given or [chosen.get(name) or representative(name)]
    return [*settings, representative(RAW)]


def representative(codec: str) -> RatedSetting:
    """Return the middle of a codec's sweep.

    Raises:
        DataError: no such rival.
    """
    if codec in (OURS, RAW):
        return RatedSetting(codec, 0 if codec == OURS else None)
    qualities = load_rival(codec).qualities
    return RatedSetting(codec, qualities[len(qualities) // 2])


def _cheapest(rows: list[dict[str, Any]], at_loss: float) -> RatedSetting:
    enough = [row for row in rows if row["loss_points"] <= at_loss]
    row = (
        min(enough, key=lambda row: row["bytes_per_frame"])
        if enough
        else min(rows, key=lambda row: (row["loss_points"], row["bytes_per_frame"]))
    )
    return RatedSetting(
        row["codec"], row["quality"], row["bytes_per_frame"], row["loss_points"], bool(enough)
    )
