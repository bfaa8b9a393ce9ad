# SPDX-License-Identifier: Apache-2.0
"""Plots of time: latency over each link in its parts, and what a stream suffers when packets are lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from frankensplit.evaluation import OURS
from frankensplit.report.codecs import in_order, look_of
from frankensplit.report.numbers import duration
from frankensplit.report.plots import (
    GROUND,
    INK,
    LETTERS,
    PART_COLOURS,
    SOFT,
    WIDTH,
    draw_legend,
    legend_entries,
    line_options,
    new_figure,
    place_axes,
    shortened,
)
from frankensplit.report.read import Measured

PARTS = ("encode_ms", "transfer_ms", "decode_ms", "inference_ms")
PART_NAMES = ("encode", "transfer", "decode", "inference")
COLUMNS = 3  # panels beside each other
BAR_ROW = 0.195  # inches
CUT_FROM = 3.0  # times the median of a panel: longer bars are cut
NETWORK_PANELS = (
    ("delivered_fps", "frames/s with a prediction"),
    ("age_p50_ms", "age of the newest prediction, ms"),
    ("value_held", "{metric}, newest prediction held"),
)

Rows = list[dict[str, Any]]


def link_names(link: Measured) -> list[str]:
    """Return the links in the order of the file."""
    return list(dict.fromkeys(row["link"] for row in link.rows))


def shown_rows(link: Measured, name: str) -> Rows:
    """Return one link's rows with a total, fewest bytes first."""
    rows = [row for row in link.rows if row["link"] == name and row["total_ms"] is not None]
    return sorted(rows, key=lambda row: (row["bytes_per_frame"] or 0, row["codec"]))


def link_title(link: Measured, name: str) -> str:
    """Return a link's name with its rate."""
    for entry in link.raw.get("links", []):
        if isinstance(entry, dict) and entry.get("name") == name:
            rate = entry.get("mbit_s")
            known = isinstance(rate, (int, float)) and f"{rate:g}" not in name
            return f"{name}, {rate:g} Mbit/s" if known else name
    return name


def link_figure(link: Measured) -> Figure:
    """Draw one panel a link: a bar a codec, made of encoding, transfer, decoding and inference."""
    names = link_names(link)
    lines = [names[start : start + COLUMNS] for start in range(0, len(names), COLUMNS)]
    heights = [max(len(shown_rows(link, name)) for name in line) * BAR_ROW + 0.52 for line in lines]
    figure = new_figure(sum(heights) + 0.35)
    _part_key(figure)
    top = 0.35
    for line, height in zip(lines, heights, strict=True):
        for column, name in enumerate(line):
            _link_panel(figure, link, name, column, top)
        top += height
    return figure


def network_figure(network: Measured) -> Figure:
    """Draw frames delivered, age and accuracy against the share of packets lost."""
    losses = sorted({row["loss_percent"] for row in network.rows})
    codecs = in_order(list(dict.fromkeys(row["codec"] for row in network.rows)))
    entries = [entry for entry in legend_entries(codecs, {}) if entry.codec]
    figure = new_figure(3.1)
    boxes = [(0.45 + 3.05 * at, 0.52, WIDTH - 3.05 * (at + 1), 0.36) for at in range(3)]
    for box, (field, title) in zip(boxes, NETWORK_PANELS, strict=True):
        axes = place_axes(figure, *box)
        axes.set_title(title.format(metric=network.raw.get("metric", "accuracy")), loc="left", color=INK)
        _network_panel(axes, network.rows, losses, field)
    unmodified = network.raw.get("unmodified")
    if isinstance(unmodified, (int, float)):
        figure.axes[2].axhline(unmodified, color=INK, linewidth=1.0, zorder=2)
    draw_legend(figure, entries, (9.35, 3.02, 1.4), "")
    return figure


def _part_key(figure: Figure) -> None:
    width, height = figure.get_size_inches()
    x = 0.05
    for name, colour in zip(PART_NAMES, PART_COLOURS, strict=True):
        y = height - 0.2
        figure.text(x / width, y / height, "\N{BLACK SQUARE}", color=colour, va="baseline", fontsize=11)
        figure.text((x + 0.15) / width, y / height, name, color=INK, va="baseline")
        x += 0.3 + 0.085 * len(name)


def _link_panel(figure: Figure, link: Measured, name: str, column: int, top: float) -> None:
    width, total = figure.get_size_inches()
    each = width / COLUMNS
    rows = shown_rows(link, name)
    bars = len(rows) * BAR_ROW
    left = each * column + 1.32
    axes = place_axes(figure, left, total - top - 0.3 - bars, width - each * (column + 1) + 0.62, top + 0.3)
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    axes.set_title(link_title(link, name), loc="left", color=INK, weight="bold", x=-1.3 / (each - 1.94))
    at = [0.0] * len(rows)
    for part, colour in zip(PARTS, PART_COLOURS, strict=True):
        lengths = [row[part] or 0.0 for row in rows]
        axes.barh(range(len(rows)), lengths, left=at, height=0.68, color=colour, linewidth=0)
        at = [start + length for start, length in zip(at, lengths, strict=True)]
    longest = _scale(at)
    axes.set_xlim(0, longest)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.xaxis.set_major_locator(NullLocator())
    axes.set_yticks(range(len(rows)), [shortened(look_of(row["codec"]).title) for row in rows])
    axes.tick_params(axis="y", pad=3)
    for tick, row, end in zip(axes.get_yticklabels(), rows, at, strict=True):
        ours = row["codec"] == OURS
        colour = look_of(OURS).hue if ours else INK
        tick.set(color=colour, weight="bold" if ours else "normal")
        if end > longest:
            _cut(axes, tick.get_position()[1])
        axes.annotate(
            duration(row["total_ms"]),
            (min(end, longest), tick.get_position()[1]),
            (3, 0),
            textcoords="offset points",
            va="center",
            color=colour if ours else SOFT,
            weight="bold" if ours else "normal",
            fontsize=LETTERS - 0.6,
            annotation_clip=False,
        )


def _scale(totals: Sequence[float]) -> float:
    """Return where a panel ends: at its longest bar, unless that would squeeze the others."""
    ordered = sorted(totals) or [1.0]
    limit = CUT_FROM * ordered[len(ordered) // 2]
    return max((total for total in ordered if total <= limit), default=ordered[0]) or 1.0


def _cut(axes: Axes, y: float) -> None:
    """Mark a bar as longer than drawn."""
    for x in (0.955, 0.975):
        axes.plot(
            (x - 0.012, x + 0.012),
            (y + 0.5, y - 0.5),
            transform=axes.get_yaxis_transform(),
            color=GROUND,
            linewidth=1.6,
            zorder=5,
        )


def _network_panel(axes: Axes, rows: Rows, losses: Sequence[float], field: str) -> None:
    """Draw one figure of each stream; the losses measured stand at even distances."""
    streams: dict[tuple[str, str], Rows] = {}
    for row in rows:
        streams.setdefault((row["codec"], row["quality"]), []).append(row)
    for (codec, _), stream in streams.items():
        known = sorted((row for row in stream if row[field] is not None), key=lambda row: row["loss_percent"])
        xs = [losses.index(row["loss_percent"]) for row in known]
        axes.plot(xs, [row[field] for row in known], clip_on=False, **line_options(codec))
        if field == "age_p50_ms":
            late = [row["age_p95_ms"] for row in known]
            options = line_options(codec) | {"linewidth": 0.7, "marker": "", "alpha": 0.6}
            if None not in late:
                axes.plot(xs, late, **options)
    axes.set_xlim(-0.15, len(losses) - 0.85)
    axes.set_xticks(range(len(losses)), [f"{loss:g}" for loss in losses])
    axes.set_xlabel("% of packets lost")
    if field == "age_p50_ms":
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(FixedLocator([step * 10.0**p for p in range(6) for step in (1, 2, 5)]))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    else:
        axes.set_ylim(0, 1.06 * max((row[field] or 0.0 for row in rows), default=1) or 1)
        axes.yaxis.set_major_locator(MaxNLocator(5))
