# SPDX-License-Identifier: Apache-2.0
"""Curves over bytes a frame: accuracy lost (the picture to decide by), and accuracy head by head."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import AbstractPathEffect, withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from frankensplit.evaluation import OURS
from frankensplit.report.codecs import look_of
from frankensplit.report.numbers import MINUS, kilobytes, points, size
from frankensplit.report.plots import (
    GROUND,
    INK,
    LETTERS,
    SOFT,
    WIDTH,
    bytes_axis,
    draw_legend,
    legend_entries,
    legend_height,
    line_options,
    new_figure,
    place_axes,
)
from frankensplit.report.read import HeadResult, Row

MOST_LOST = 10.0  # points; what lies beyond is cut off, unless ours does
ROOM = 1.5  # times our loss
LEAST_LOST = -1.0
LINEAR_TO = 1.0  # points; logarithmic above
FAR = 6.0  # a lower bound that is this many times further left stays off the axis
LEFT_ARROW = "\N{LEFTWARDS ARROW}"
LEGEND_WIDTH = 2.55  # inches, beside a wide plot
HEADING = "kB for our loss"


def loss_figure(head: HeadResult, rate_hz: float | None) -> Figure:
    """Draw points lost against bytes a frame, all codecs of a head."""
    figure, axes = _frame(head, 3.4)
    low, high = _bytes_range([row for row in head.rows if row.loss_points <= most_lost(head)] or head.rows)
    bytes_axis(axes, low, high)
    _loss_axis(axes, head)
    for codec in reversed(head.codecs):
        rows = head.rows_of(codec)
        _curve(axes, codec, rows, [row.loss_points for row in rows], [row.ci95 for row in rows])
    axes.axhline(0, color=SOFT, linewidth=0.9, zorder=2)
    axes.set_ylabel(f"points of {head.metric} lost")
    axes.set_xlabel("kB a frame")
    if rate_hz:
        _rate_axis(axes, rate_hz)
    _mark_ours(axes, head, head.ours.loss_points)
    axes.annotate(
        "better",
        (0.012, 0.03),
        (0.07, 0.13),
        xycoords="axes fraction",
        textcoords="axes fraction",
        color=SOFT,
        arrowprops={"arrowstyle": "->", "color": SOFT, "lw": 0.9, "shrinkB": 0},
    )
    return figure


def accuracy_figure(head: HeadResult) -> Figure:
    """Draw a head's metric against bytes a frame, with the unmodified backbone and the lower bound."""
    figure, axes = _frame(head, 2.6)
    bottom = head.unmodified - most_lost(head)
    shown = [row for row in head.rows if row.value >= bottom] or head.rows
    low, high = _bytes_range(shown)
    bound = head.prediction_bytes
    if bound and bound > low / FAR:
        low = min(low, bound / 1.35)
    bytes_axis(axes, low, high)
    top = max(row.value for row in shown)
    axes.set_ylim(bottom, max(top, head.unmodified) + 0.12 * most_lost(head))
    for codec in reversed(head.codecs):
        rows = head.rows_of(codec)
        intervals = [
            None if row.ci95 is None else (head.unmodified - row.ci95[1], head.unmodified - row.ci95[0])
            for row in rows
        ]
        _curve(axes, codec, rows, [row.value for row in rows], intervals)
    axes.axhline(head.unmodified, color=INK, linewidth=1.1, zorder=2)
    axes.annotate(
        f"unmodified backbone {points(head.unmodified)}",
        (1, head.unmodified),
        (-3, 4),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="right",
        color=INK,
        zorder=7,
        path_effects=_halo(),
    )
    if bound:
        _lower_bound(axes, bound, low)
    axes.set_ylabel(head.metric if head.truth == "labels" else f"{head.metric} against the unmodified")
    axes.set_xlabel("kB a frame")
    return figure


def most_lost(head: HeadResult) -> float:
    """Return the points at which a head's plots end: far enough to show us."""
    return max(MOST_LOST, math.ceil(ROOM * head.ours.loss_points))


def outside(head: HeadResult) -> int:
    """Return how many settings lie beyond the loss axis."""
    return sum(not LEAST_LOST <= row.loss_points <= most_lost(head) for row in head.rows)


def _frame(head: HeadResult, plot_height: float) -> tuple[Figure, Axes]:
    """Return a figure with its legend drawn, and the axes beside it."""
    entries = legend_entries(head.codecs, _needs(head))
    height = max(plot_height + 1.0, legend_height(entries) + 0.35)
    figure = new_figure(height)
    axes = place_axes(figure, 0.62, 0.55, LEGEND_WIDTH + 0.45, 0.42)
    draw_legend(figure, entries, (WIDTH - LEGEND_WIDTH, height - 0.2, LEGEND_WIDTH), HEADING)
    return figure, axes


def _needs(head: HeadResult) -> dict[str, str]:
    """Return the kB a frame that each codec needs to lose no more than we do, as text."""
    theirs = {codec: kilobytes(*head.need(codec)) for codec in head.bytes_at_our_loss}
    return {OURS: kilobytes(head.ours.bytes_per_frame)} | theirs


def _curve(
    axes: Axes,
    codec: str,
    rows: Sequence[Row],
    values: Sequence[float],
    intervals: Sequence[tuple[float, float] | None],
) -> None:
    """Draw one codec: a line through its settings, and a bar over each interval."""
    options = line_options(codec)
    xs = [row.bytes_per_frame for row in rows]
    axes.plot(xs, values, clip_on=True, **options)
    ours, main = codec == OURS, look_of(codec).main
    bars = [(x, *bounds) for x, bounds in zip(xs, intervals, strict=True) if bounds]
    if bars:
        axes.vlines(
            [bar[0] for bar in bars],
            [bar[1] for bar in bars],
            [bar[2] for bar in bars],
            color=options["color"],
            linewidth=2.2 if ours else 0.9,
            alpha=1.0 if ours else 0.45 if main else 0.25,
            zorder=5.5 if ours else 2.5,
        )


def _mark_ours(axes: Axes, head: HeadResult, y: float) -> None:
    """Name our point, on the side that has room."""
    x = head.ours.bytes_per_frame
    low, high = axes.get_xlim()
    right = math.log(x / low) < 0.3 * math.log(high / low)
    axes.annotate(
        f"frankensplit {size(x)}",
        (x, y),
        (9 if right else -9, -3.5),
        textcoords="offset points",
        ha="left" if right else "right",
        color=look_of(OURS).hue,
        weight="bold",
        zorder=7,
        path_effects=_halo(),
    )


def _halo() -> list[AbstractPathEffect]:
    """Keep letters readable over curves."""
    return [withStroke(linewidth=2.4, foreground=GROUND)]


def _lower_bound(axes: Axes, payload_bytes: float, low: float) -> None:
    """Mark the bytes of the predictions themselves, or say that they lie far to the left."""
    inside = payload_bytes >= low
    if inside:
        axes.axvline(payload_bytes, color=SOFT, linewidth=1.0, linestyle=(0, (2, 2)), zorder=2)
    axes.annotate(
        f"{'' if inside else LEFT_ARROW + ' '}predictions alone {size(payload_bytes)}",
        (max(payload_bytes, low), 1),
        (-2, 3),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        color=SOFT,
        fontsize=LETTERS - 1,
    )


def _bytes_range(rows: Sequence[Row]) -> tuple[float, float]:
    """Return a range of bytes with room on both sides."""
    every = [row.bytes_per_frame for row in rows]
    return min(every) / 1.35, max(every) * 1.35


def _loss_axis(axes: Axes, head: HeadResult) -> None:
    """Make y linear to one point, where decisions fall, and logarithmic above."""
    axes.set_yscale("symlog", linthresh=LINEAR_TO, linscale=1.0)
    lowest = min((row.ci95[0] if row.ci95 else row.loss_points) for row in head.rows)
    axes.set_ylim(max(LEAST_LOST, min(-0.25, math.floor(lowest * 4) / 4)), most_lost(head))
    axes.yaxis.set_major_locator(FixedLocator([-1, -0.5, 0, 0.4, 1, 2, 3, 5, 10, 20, 50]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", MINUS)))


def _rate_axis(axes: Axes, rate_hz: float) -> None:
    """Add the same axis above, as Mbit/s of a stream."""
    to_mbit = 8 * rate_hz / 1e6
    both_ways: Any = (lambda x: x * to_mbit, lambda x: x / to_mbit)
    top = axes.secondary_xaxis("top", functions=both_ways)
    top.xaxis.set_major_locator(FixedLocator([step * 10.0**p for p in range(-3, 4) for step in (1, 2, 5)]))
    top.xaxis.set_minor_locator(NullLocator())
    top.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    top.spines["top"].set_visible(False)
    top.set_xlabel(f"Mbit/s at {rate_hz:g} frames/s")
