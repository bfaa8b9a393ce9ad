# SPDX-License-Identifier: Apache-2.0
"""What all plots share: colours, axes, the legend of codecs, small PNGs. Figures are laid out in inches."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from frankensplit.evaluation import OURS
from frankensplit.report.codecs import THIS, in_order, look_of

WIDTH, DPI = 10.8, 140  # inches of every figure, and pixels an inch
CSS_DPI = 100  # CSS pixels an inch
LETTERS = 9.0  # points
LEGEND_ROW = 0.175  # inches
LONGEST_NAME = 24
GROUND, INK, SOFT, FAINT = "#ffffff", "#1b1f24", "#5b6470", "#dfe3e8"  # colours of page and plots
PART_COLOURS = ("#0a6ebd", "#c9ced6", "#0b9f84", "#e0a526")  # encoding, transfer, decoding, inference


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the page's style, with nothing taken from the user's own settings of matplotlib."""
    settings: dict[str, Any] = {
        "font.family": ["DejaVu Sans"],  # comes with matplotlib, so every machine draws the same
        "font.size": LETTERS,
        "axes.titlesize": LETTERS,
        "axes.labelsize": LETTERS,
        "xtick.labelsize": LETTERS - 0.6,
        "ytick.labelsize": LETTERS - 0.6,
        "figure.facecolor": GROUND,
        "axes.facecolor": GROUND,
        "savefig.facecolor": GROUND,
        "axes.edgecolor": SOFT,
        "axes.labelcolor": SOFT,
        "axes.linewidth": 0.7,
        "text.color": INK,
        "text.parse_math": False,  # names come from files
        "xtick.color": SOFT,
        "ytick.color": SOFT,
        "xtick.major.size": 3.0,
        "ytick.major.size": 0.0,
        "xtick.major.width": 0.7,
        "grid.color": FAINT,
        "grid.linewidth": 0.7,
        "lines.scale_dashes": True,
    }
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(settings)  # type: ignore[arg-type]
        yield


def new_figure(height: float) -> Figure:
    """Return an empty figure."""
    return Figure(figsize=(WIDTH, height), dpi=DPI)


def place_axes(figure: Figure, left: float, bottom: float, right: float, top: float) -> Axes:
    """Add axes whose edges are this many inches from the figure's own, without a box."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes(
        (left / width, bottom / height, (width - left - right) / width, (height - bottom - top) / height)
    )
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    return axes


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG, the same bytes each time."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def bytes_axis(axes: Axes, low: float, high: float) -> None:
    """Make x a logarithmic axis of bytes a frame, labelled in kB."""
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    steps = (1, 2, 5) if high / low < 3000 else (1,)
    ticks = [step * 10.0**power for power in range(9) for step in steps]
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1000:g}"))


def line_options(codec: str) -> dict[str, Any]:
    """Return how matplotlib draws a codec's curve."""
    look = look_of(codec)
    ours, main = codec == OURS, look.main
    options: dict[str, Any] = {
        "color": look.hue,
        "linewidth": 2.4 if ours else 1.5 if main else 0.9,
        "marker": look.marker,
        "markersize": 8.5 if ours else 4.2 if main else 3.4,
        "markeredgecolor": GROUND if ours or (main and look.marker not in "12x") else None,
        "markeredgewidth": 1.2 if ours else 0.5,
        "zorder": 6 if ours else 4 if main else 3,
        "alpha": 1.0 if main else 0.8,
    }
    if options["markeredgecolor"] is None:
        options["markeredgecolor"], options["markeredgewidth"] = options["color"], 0.9
    if look.family.dashes:
        options["dashes"] = look.family.dashes
    return options


@dataclass(frozen=True)
class LegendEntry:
    """One line of a legend: a codec and a figure beside it, or a family's title (no codec)."""

    text: str
    codec: str | None = None
    figure: str = ""


def legend_entries(codecs: Sequence[str], figures: dict[str, str]) -> list[LegendEntry]:
    """Return a legend of codecs, family by family."""
    entries: list[LegendEntry] = []
    family = None
    for codec in in_order(list(codecs)):
        look = look_of(codec)
        if look.family is not family and look.family is not THIS:
            entries.append(LegendEntry(look.family.title))
        family = look.family
        entries.append(LegendEntry(shortened(look.title), codec, figures.get(codec, "")))
    return entries


def shortened(name: str) -> str:
    """Return a name that fits into a plot."""
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "\N{HORIZONTAL ELLIPSIS}"


def legend_height(entries: Sequence[LegendEntry]) -> float:
    """Return the inches that a legend needs, its heading included."""
    return LEGEND_ROW * (1.3 + len(entries))


def draw_legend(
    figure: Figure, entries: Sequence[LegendEntry], place: tuple[float, float, float], heading: str
) -> None:
    """Draw a legend below a point.

    Args:
        figure: the figure to draw into.
        entries: its lines.
        place: left edge, top edge and width in inches.
        heading: what the figures beside the names are.
    """
    left, top, width = place
    _text(figure, left + width, top, heading, SOFT, ha="right", size=LETTERS - 1.2)
    for row, entry in enumerate(entries):
        _draw_entry(figure, entry, (left, top - LEGEND_ROW * (row + 1.3), width))


def _draw_entry(figure: Figure, entry: LegendEntry, place: tuple[float, float, float]) -> None:
    x, y, width = place
    if entry.codec is None:
        _text(figure, x, y, entry.text, SOFT, size=LETTERS - 1.0)
        return
    ours = entry.codec == OURS
    options = line_options(entry.codec)
    if ours:
        options["markersize"] = 6.5
    sample = 0.34
    size = figure.get_size_inches()
    xs, ys = [(x + at * sample) / size[0] for at in (0, 0.5, 1)], [(y + 0.045) / size[1]] * 3
    figure.add_artist(Line2D(xs, ys, markevery=[1], transform=figure.transFigure, **options))
    weight = "bold" if ours else "normal"
    colour = look_of(entry.codec).hue if ours else INK
    _text(figure, x + sample + 0.09, y, entry.text, colour, weight=weight)
    _text(figure, x + width, y, entry.figure, colour, ha="right", weight=weight)


def _text(figure: Figure, x: float, y: float, text: str, colour: str, **options: Any) -> None:
    width, height = figure.get_size_inches()
    figure.text(x / width, y / height, text, color=colour, va="baseline", **options)
