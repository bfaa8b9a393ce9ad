# SPDX-License-Identifier: Apache-2.0
"""Figures by step as CSV, whole after every row."""

from __future__ import annotations

import csv
from pathlib import Path


class Table:
    """A CSV that grows by a row a step.

    Args:
        path: the file.
        end: rows of this step and later ones, the lost end of a run that was cut off, are dropped.
    """

    def __init__(self, path: Path, end: int) -> None:
        self.path = path
        header, *rows = _rows(path)
        path.unlink(missing_ok=True)
        kept = [row for row in rows if int(row[0]) < end]
        if kept:
            self._append(header, *kept)

    def write(self, step: int, figures: dict[str, float]) -> None:
        """Append a row; the first one brings the header."""
        if not self.path.exists():
            self._append(["step", *figures])
        self._append([str(step), *(f"{value:.6g}" for value in figures.values())])

    def _append(self, *rows: list[str]) -> None:
        with self.path.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)


def read_table(path: Path) -> tuple[list[int], dict[str, list[float]]]:
    """Return the steps of a table, and the values of each figure; nothing where there is no file."""
    header, *rows = _rows(path)
    columns = {name: [float(row[at]) for row in rows] for at, name in enumerate(header)}
    return [int(step) for step in columns.pop("step", [])], columns


def _rows(path: Path) -> list[list[str]]:
    if not path.exists():
        return [[]]
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file)) or [[]]
