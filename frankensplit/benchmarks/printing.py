# SPDX-License-Identifier: Apache-2.0
"""Narrow tables on standard error, so that ``--json -`` stays clean."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

WIDTH_WITHOUT_TERMINAL = 120

console = Console(stderr=True, markup=False, emoji=False)
if not console.is_terminal:
    console = Console(stderr=True, width=WIDTH_WITHOUT_TERMINAL, markup=False, emoji=False)


def print_table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table whose first column is a name and whose others are figures."""
    table = Table(title=title, box=box.SIMPLE, padding=(0, 0, 0, 1))
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def figure(value: float | None) -> str:
    """Write a figure with three digits or more; nothing for None."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
