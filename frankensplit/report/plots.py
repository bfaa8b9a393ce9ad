# SPDX-License-Identifier: Apache-2.0
"""What all plots share: light and dark, wide and narrow, the legend of codecs, and small PNGs.

A plot is drawn four times, so that the page can show the one that fits: a phone's is no shrunken desktop's. Figures
are laid out in inches at 100 CSS pixels an inch.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray
from PIL import Image

from frankensplit.evaluation import OURS
from frankensplit.report.codecs import LOOKS, THIS, Look, in_order, look_of

CSS_DPI = 100  # CSS pixels an inch of a figure
LEGEND_ROW = 0.175  # inches
TINTS = (1.0, 0.86, 0.72, 0.58, 0.44, 0.3, 0.18, 0.08)  # of a colour on the ground, in the palette of a PNG
LONGEST_NAME = 24


@dataclass(frozen=True)
class Theme:
    """Colours of one rendering; ``ground`` is the page's."""

    name: str
    ground: str
    ink: str
    soft: str
    faint: str

    def hue(self, look: Look) -> str:
        """Return a codec's colour."""
        return look.light if self.name == "light" else look.dark


PART_COLOURS = {  # encoding, transfer, decoding, inference
    "light": ("#0a6ebd", "#c9ced6", "#0b9f84", "#e0a526"),
    "dark": ("#4c9ee8", "#59626d", "#2fbf9f", "#e8b948"),
}
LIGHT = Theme("light", "#ffffff", "#1b1f24", "#5b6470", "#dfe3e8")
DARK = Theme("dark", "#14171b", "#e7eaee", "#9aa4b0", "#2f353c")


@dataclass(frozen=True)
class Layout:
    """Width of one rendering in inches, its letters in points, and its pixels an inch."""

    name: str
    width: float
    letters: float
    dpi: int


WIDE = Layout("wide", 10.8, 9.0, 140)  # a plot and its legend, across the page
NARROW = Layout("narrow", 3.6, 7.6, 190)  # the same on a phone, legend below
HALF = Layout(
    "half", 4.4, 8.2, 180
)  # one of two beside each other, or alone on a phone; the page has the legend


@dataclass(frozen=True)
class Style:
    """One rendering of a plot."""

    theme: Theme
    layout: Layout

    @property
    def wide(self) -> bool:
        """Whether there is room beside the plot."""
        return self.layout is WIDE


@contextmanager
def styled(style: Style) -> Iterator[None]:
    """Draw in a style, with nothing taken from the user's own settings of matplotlib."""
    theme, letters = style.theme, style.layout.letters
    settings: dict[str, Any] = {
        "font.family": ["DejaVu Sans"],  # comes with matplotlib, so every machine draws the same
        "font.size": letters,
        "axes.titlesize": letters,
        "axes.labelsize": letters,
        "xtick.labelsize": letters - 0.6,
        "ytick.labelsize": letters - 0.6,
        "figure.facecolor": theme.ground,
        "axes.facecolor": theme.ground,
        "savefig.facecolor": theme.ground,
        "axes.edgecolor": theme.soft,
        "axes.labelcolor": theme.soft,
        "axes.linewidth": 0.7,
        "text.color": theme.ink,
        "text.parse_math": False,  # names come from files
        "xtick.color": theme.soft,
        "ytick.color": theme.soft,
        "xtick.major.size": 3.0,
        "ytick.major.size": 0.0,
        "xtick.major.width": 0.7,
        "grid.color": theme.faint,
        "grid.linewidth": 0.7,
        "lines.scale_dashes": True,
    }
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(settings)  # type: ignore[arg-type]
        yield


def new_figure(style: Style, height: float) -> Figure:
    """Return an empty figure of the style's width."""
    return Figure(figsize=(style.layout.width, height), dpi=style.layout.dpi)


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


def png(figure: Figure, theme: Theme) -> bytes:
    """Return a figure as a PNG with a palette, a third of the size; the same bytes each time."""
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    rgb = np.asarray(canvas.buffer_rgba())[..., :3].astype(np.int32)
    palette = _palette(theme)
    packed = (rgb[..., 0] << 16) | (rgb[..., 1] << 8) | rgb[..., 2]
    there = np.zeros(1 << 24, np.bool_)
    there[packed] = True
    index = np.zeros(1 << 24, np.uint8)  # by colour; a figure holds few of them
    for part in np.array_split(np.flatnonzero(there), 16):
        index[part] = _nearest(np.stack([part >> 16, (part >> 8) & 255, part & 255], axis=1), palette)
    picture = Image.fromarray(index[packed])
    picture.putpalette(palette.astype(np.uint8).tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _nearest(colours: NDArray[np.int64], palette: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Return the index of the palette's nearest entry for each colour ``(N, 3)``."""
    distances: NDArray[np.int64] = ((colours[:, np.newaxis] - palette[np.newaxis]) ** 2).sum(axis=2)
    return np.asarray(distances.argmin(axis=1), np.uint8)


@cache
def _palette(theme: Theme) -> NDArray[np.int32]:
    """Return the theme's ground and the tints of all its colours on it, int32 ``(N, 3)``.

    A palette chosen by how often a colour occurs would drop the hues of short curves.
    """
    hues = {theme.hue(look) for look in LOOKS.values()} | set(PART_COLOURS[theme.name])
    full = np.array([to_rgb(colour) for colour in (theme.ink, theme.soft, theme.faint, *sorted(hues))])
    ground = np.array(to_rgb(theme.ground))
    tints = [tint * full + (1 - tint) * ground for tint in TINTS]
    return np.asarray(np.rint(255 * np.concatenate([ground[np.newaxis], *tints])), np.int32)


def bytes_axis(axes: Axes, low: float, high: float) -> None:
    """Make x a logarithmic axis of bytes a frame, labelled in kB."""
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    steps = (1, 2, 5) if high / low < 3000 else (1,)
    ticks = [step * 10.0**power for power in range(9) for step in steps]
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1000:g}"))


def line_options(codec: str, style: Style) -> dict[str, Any]:
    """Return how matplotlib draws a codec's curve."""
    look = look_of(codec)
    ours, main = codec == OURS, look.main
    options: dict[str, Any] = {
        "color": style.theme.hue(look),
        "linewidth": 2.4 if ours else 1.5 if main else 0.9,
        "marker": look.marker,
        "markersize": 8.5 if ours else 4.2 if main else 3.4,
        "markeredgecolor": style.theme.ground if ours or (main and look.marker not in "12x") else None,
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
class Entry:
    """One line of a legend: a codec and a figure beside it, or a family's title (no codec)."""

    text: str
    codec: str | None = None
    figure: str = ""


def legend_entries(codecs: Sequence[str], figures: dict[str, str]) -> list[Entry]:
    """Return a legend of codecs, family by family."""
    entries: list[Entry] = []
    family = None
    for codec in in_order(list(codecs)):
        look = look_of(codec)
        if look.family is not family and look.family is not THIS:
            entries.append(Entry(look.family.title))
        family = look.family
        entries.append(Entry(shortened(look.title), codec, figures.get(codec, "")))
    return entries


def shortened(name: str) -> str:
    """Return a name that fits into a plot."""
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "\N{HORIZONTAL ELLIPSIS}"


def legend_height(entries: Sequence[Entry], columns: int) -> float:
    """Return the inches that a legend needs, its heading included."""
    return LEGEND_ROW * (1.3 + max(len(column) for column in _columns(entries, columns)))


def draw_legend(
    figure: Figure, style: Style, entries: Sequence[Entry], place: tuple[float, float, float], heading: str
) -> None:
    """Draw a legend below a point.

    Args:
        figure: the figure to draw into.
        style: its style.
        entries: its lines.
        place: left edge, top edge and width in inches.
        heading: what the figures beside the names are.
    """
    left, top, width = place
    columns = _columns(entries, 1 if style.wide else 2)
    gap = 0.15
    column_width = (width - gap * (len(columns) - 1)) / len(columns)
    for number, column in enumerate(columns):
        x = left + number * (column_width + gap)
        _text(
            figure,
            x + column_width,
            top,
            heading,
            style.theme.soft,
            ha="right",
            size=style.layout.letters - 1.2,
        )
        for row, entry in enumerate(column):
            y = top - LEGEND_ROW * (row + 1.3)
            _draw_entry(figure, style, entry, (x, y, column_width))


def _columns(entries: Sequence[Entry], columns: int) -> list[list[Entry]]:
    """Split into columns of about one height; a family's title stays with its first codec."""
    if columns == 1 or len(entries) < 4:
        return [list(entries)]
    half = (len(entries) + 1) // 2
    while half < len(entries) and entries[half - 1].codec is None:
        half += 1
    return [list(entries[:half]), list(entries[half:])]


def _draw_entry(figure: Figure, style: Style, entry: Entry, place: tuple[float, float, float]) -> None:
    x, y, width = place
    if entry.codec is None:
        _text(figure, x, y, entry.text, style.theme.soft, size=style.layout.letters - 1.0)
        return
    ours = entry.codec == OURS
    options = line_options(entry.codec, style)
    if ours:
        options["markersize"] = 6.5
    sample = 0.34
    size = figure.get_size_inches()
    xs, ys = [(x + at * sample) / size[0] for at in (0, 0.5, 1)], [(y + 0.045) / size[1]] * 3
    figure.add_artist(Line2D(xs, ys, markevery=[1], transform=figure.transFigure, **options))
    weight = "bold" if ours else "normal"
    colour = style.theme.hue(look_of(entry.codec)) if ours else style.theme.ink
    _text(figure, x + sample + 0.09, y, entry.text, colour, weight=weight)
    _text(figure, x + width, y, entry.figure, colour, ha="right", weight=weight)


def _text(figure: Figure, x: float, y: float, text: str, colour: str, **options: Any) -> None:
    width, height = figure.get_size_inches()
    figure.text(x / width, y / height, text, color=colour, va="baseline", **options)
