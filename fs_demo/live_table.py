# SPDX-License-Identifier: Apache-2.0
"""Show a tally: a live table on a terminal, plain lines elsewhere. No ROS import."""

from __future__ import annotations

import math
from typing import Any

from rich.columns import Columns
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from fs_demo.tally import TOTAL, Tally

PLAIN_EVERY_S = 5.0


class Display:
    """Draws a tally now and then; use as a context."""

    def __init__(self) -> None:
        self._console = Console(markup=False, emoji=False)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._said_s = -math.inf

    def __enter__(self) -> Display:
        """Begin to draw."""
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the drawing; the last table stays."""
        if self._live:
            self._live.stop()

    def show(self, tally: Tally, now_s: float) -> None:
        """Draw the tally as it is."""
        if self._live:
            self._live.update(tables(tally), refresh=True)
        elif tally.frames and now_s - self._said_s >= PLAIN_EVERY_S:
            self._said_s = now_s
            print(line(tally), flush=True)


def line(tally: Tally) -> str:
    """Return the figures in one line."""
    sizes, total = tally.sizes(), tally.latency_ms().get(TOTAL, {"p50": math.nan, "p95": math.nan})
    heads = ", ".join(f"{head['metric']} {number(head['value'])}" for head in tally.heads().values())
    drops = tally.drops()
    return (
        f"{tally.frames} frames, {number(tally.rate_hz())} Hz, {number(sizes['packet'] / 1000)} kB a frame, "
        f"{number(sizes['raw'] / sizes['packet'])}:1 raw, {TOTAL} p50 {number(total['p50'])} "
        f"p95 {number(total['p95'])} ms, {heads}, lost {drops['lost']}, dropped {drops['dropped']}"
    )


def tables(tally: Tally) -> Group:
    """Return the live view: frames and bytes, latency by stage, accuracy."""
    return Group(_frames(tally), Columns([_latency(tally), _heads(tally)]))


def _frames(tally: Tally) -> Table:
    sizes, drops = tally.sizes(), tally.drops()
    table = _table("frames", "rate", "bytes a frame", "raw", "PNG", "JPEG q90", "lost", "dropped", "rejected")
    ratios = [f"{number(sizes[name] / sizes['packet'])}:1" for name in ("raw", "png", "jpeg_q90")]
    counts = [str(drops[name]) for name in ("lost", "dropped", "rejected")]
    rate = f"{number(tally.rate_hz())} Hz"
    table.add_row(str(tally.frames), rate, number(sizes["packet"], 0), *ratios, *counts)
    return table


def _latency(tally: Tally) -> Table:
    table = _table("stage", "p50 ms", "p95 ms")
    for stage, row in tally.latency_ms().items():
        style = "bold" if stage == TOTAL else ""
        table.add_row(stage, number(row["p50"]), number(row["p95"]), style=style)
    return table


def _heads(tally: Tally) -> Table:
    table = _table("head", "metric", "value", "frames")
    for name, head in tally.heads().items():
        table.add_row(name, head["metric"], number(head["value"]), str(head["frames"]))
    return table


def _table(first: str, *others: str) -> Table:
    table = Table()
    table.add_column(first)
    for other in others:
        table.add_column(other, justify="right")
    return table


def number(value: Any, digits: int = 1) -> str:
    """Return a number as text, or a dash where it is not known."""
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"
