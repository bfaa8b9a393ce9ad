# SPDX-License-Identifier: Apache-2.0
"""Figures by step as CSV, whole after every row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from itertools import takewhile
from pathlib import Path

from frankensplit.writing import write_file


class StepTable:
    """A CSV that grows by a row a step.

    Args:
        path: the file.
        end: rows of this step and later ones, the lost end of a run that was cut off, are dropped.
    """

    def __init__(self, path: Path, end: int) -> None:
        self.path = path
        header, *rows = _rows(path)
        kept = [row for row in rows if int(row[0]) < end]
        if kept:
            write_file(path, _text([header, *kept]))
        else:
            path.unlink(missing_ok=True)

    def write(self, step: int, figures: dict[str, float]) -> None:
        """Append a row; the first one brings the header."""
        if not self.path.exists():
            self._append(["step", *figures])
        self._append([str(step), *(f"{value:.6g}" for value in figures.values())])

    def _append(self, *rows: list[str]) -> None:
        with self.path.open("a", encoding="utf-8", newline="") as file:
            file.write(_text(rows))


def read_table(path: Path) -> tuple[list[int], dict[str, list[float]]]:
    """Return the steps of a table, and the values of each figure; nothing where there is no file."""
    header, *rows = _rows(path)
    columns = {name: [float(row[at]) for row in rows] for at, name in enumerate(header)}
    return [int(step) for step in columns.pop("step", [])], columns


def _rows(path: Path) -> list[list[str]]:
    """Return the header and the rows up to the first that is not whole: where a disk was full, what follows is lost."""
    if not path.exists():
        return [[]]
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        lines = [line for line in file if line.endswith("\n")]
    header, *rows = list(csv.reader(lines)) or [[]]
    return [header, *takewhile(lambda row: _is_whole(row, len(header)), rows)]


def _is_whole(row: list[str], columns: int) -> bool:
    try:
        return len([float(value) for value in row]) == columns and row[0].isdecimal()
    except ValueError:
        return False


def _text(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
