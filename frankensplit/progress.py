# SPDX-License-Identifier: Apache-2.0
"""Progress with time left: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

T = TypeVar("T")
LINE_EVERY_S = 15.0


class ProgressMeter:
    """Counts steps; ``note`` is shown behind the count."""

    def __init__(self, description: str, total: int, done: int = 0) -> None:
        self.description, self.total, self.done, self.first = description, total, done, done
        self.note = ""
        self.started = self.said = time.monotonic()
        self._bar: Progress | None = None

    def __enter__(self) -> ProgressMeter:
        """Begin to draw."""
        console = Console(stderr=True, markup=False, emoji=False)
        if console.is_terminal:
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
            )
            self._bar = Progress(
                *columns,
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}", markup=False),
                console=console,
            )
            self._task = self._bar.add_task(self.description, total=self.total, completed=self.done, note="")
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the drawing."""
        if self._bar:
            self._bar.stop()
        elif self.done > self.first:
            self._say()

    def advance(self, note: str = "", steps: int = 1) -> None:
        """Count one step, or several."""
        self.done += steps
        self.note = note or self.note
        if self._bar:
            self._bar.update(self._task, completed=self.done, note=self.note)
        elif time.monotonic() - self.said > LINE_EVERY_S:
            self._say()

    def _say(self) -> None:
        self.said = time.monotonic()
        seconds = self.said - self.started
        left = seconds / max(self.done - self.first, 1) * (self.total - self.done)
        line = f"{self.description}: {self.done}/{self.total}  {_clock(seconds)} gone, {_clock(left)} left  {self.note}"
        print(line, file=sys.stderr, flush=True)


def track(items: Iterable[T], description: str, total: int) -> Iterator[T]:
    """Yield the items and show how far they are."""
    with ProgressMeter(description, total) as meter:
        for item in items:
            yield item
            meter.advance()


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
