# SPDX-License-Identifier: Apache-2.0
"""A picture of a run's curves: one panel a figure, each step faint, the trend strong, held-out frames as dots."""

from __future__ import annotations

import io
import math
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from frankensplit.training.table import read_table
from frankensplit.writing import write_file

LOG = "log.csv"
HELD_OUT = "held-out.csv"
CURVES = "curves.png"

COLUMNS = 3  # panels side by side
PANEL = (3.7, 2.4)  # inches
NARROWEST = 5.6  # inches that title and legend need
DPI = 130
INK, SOFT, FAINT, LINE, DOT = "#1b1f24", "#5b6470", "#e6e9ee", "#0a6ebd", "#d9480f"
SMOOTHED_OVER = 40  # the trend is a mean over this part of the run
SHOWN = (1.0, 99.0)  # percentiles of the steps' values that must fit into a panel
WIDE = 20.0  # positive values that span a larger factor get a logarithmic axis


def draw_curves(run: Path, out: Path) -> None:
    """Draw ``log.csv`` and ``held-out.csv`` of a run as PNG; nothing where it has no step yet."""
    steps, figures = read_table(run / LOG)
    held_steps, held_out = read_table(run / HELD_OUT)
    if not steps:
        return
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update({"font.family": ["DejaVu Sans"], "font.size": 8.5, "text.parse_math": False})
        columns = min(COLUMNS, len(figures))
        rows = math.ceil(len(figures) / columns)
        size = max(PANEL[0] * columns, NARROWEST), PANEL[1] * rows + 0.5
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(run.name, x=0.012, ha="left", color=INK, fontweight="bold", fontsize=11)
        panels = figure.subplots(rows, columns, squeeze=False).flatten()
        for panel, (name, values) in zip(panels, figures.items(), strict=False):
            held = np.array(held_steps), np.array(held_out.get(name, []))
            _draw_panel(panel, name, (np.array(steps), np.array(values)), held)
        for panel in panels[len(figures) :]:
            panel.set_axis_off()
        _explain(figure, panels[0])
        picture = io.BytesIO()
        figure.savefig(picture, dpi=DPI, format="png")
    write_file(out, picture.getbuffer())


Curve = tuple[NDArray[np.int64], NDArray[np.float64]]


def _draw_panel(axes: Axes, name: str, curve: Curve, held_out: Curve) -> None:
    steps, values = curve
    window = max(len(steps) // SMOOTHED_OVER, 1)
    trend = _smooth(values, window)
    if window > 1:
        axes.plot(steps, values, color=LINE, alpha=0.28, linewidth=0.5, label="each step")
    axes.plot(
        steps,
        trend,
        color=LINE,
        linewidth=1.6,
        label=f"mean of {window} steps" if window > 1 else "each step",
    )
    if len(held_out[1]):
        axes.plot(
            *held_out, "o", color=DOT, markersize=3.6, markeredgewidth=0, clip_on=False, label="held out"
        )
    axes.set_title(name, loc="left", color=INK, fontsize=9)
    _scale(axes, values, np.concatenate([trend, held_out[1]]))
    axes.set_xlim(0, max(int(steps[-1]) + 1, 1))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    axes.set_xlabel("step", color=SOFT)
    axes.grid(color=FAINT, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=SOFT, length=2.5, width=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(SOFT)


def _scale(axes: Axes, values: NDArray[np.float64], whole: NDArray[np.float64]) -> None:
    """Fit the axis to all of the trend and the dots, and to most of the steps; outliers may leave the panel."""
    values, whole = values[np.isfinite(values)], whole[np.isfinite(whole)]
    if not len(values) or not len(whole):
        return
    low, high = (float(limit) for limit in np.percentile(values, SHOWN))
    low, high = min(low, float(whole.min())), max(high, float(whole.max()))
    if low > 0 and high > WIDE * low:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_ylim(low / 1.15, high * 1.15)
    elif high > low:
        margin = 0.06 * (high - low)
        axes.set_ylim(low - margin, high + margin)
        axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))


def _smooth(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Return the mean over a window around each value, of what there is of it at the ends, without NaN."""
    known = np.isfinite(values)
    kernel = np.ones(window)
    total = np.convolve(np.where(known, values, 0.0), kernel, "same")
    count = np.convolve(known.astype(float), kernel, "same")
    return np.where(count > 0, total / np.maximum(count, 1.0), np.nan)


def _explain(figure: Figure, panel: Axes) -> None:
    """Say once, beside the title, what lines and dots are."""
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="upper right", ncols=len(labels), frameon=False, labelcolor=SOFT, fontsize=8.5
    )
