# SPDX-License-Identifier: Apache-2.0
"""Put curves, tables and pictures together into one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from frankensplit.report import page_tables, words
from frankensplit.report.curves import LINEAR_TO, MOST_LOST, accuracy_figure, loss_figure, most_lost, outside
from frankensplit.report.numbers import points, size
from frankensplit.report.pictures import Pictures
from frankensplit.report.plots import CSS_DPI, png, styled
from frankensplit.report.read import COMMANDS, HeadResult, Measured, Results
from frankensplit.report.speed import link_figure, network_figure
from frankensplit.writing import write_file

PAGE = "report.html"


@dataclass(frozen=True)
class Plot:
    """A drawn plot, what it shows in words, and its size in CSS pixels."""

    data: bytes
    alt: str
    width: int
    height: int

    @property
    def address(self) -> str:
        """The picture as a data address."""
        return f"data:image/png;base64,{base64.b64encode(self.data).decode('ascii')}"


@dataclass(frozen=True)
class Report:
    """The page, and the plots that go into files of their own, by file name."""

    html: str
    files: dict[str, bytes]


def make_report(results: Results, pictures: Pictures | str) -> Report:
    """Render the page.

    Args:
        results: what was measured.
        pictures: frames side by side, or why there are none.
    """
    first = results.evaluations[0] if results.evaluations else None
    headline = _headline(first) if first else None
    evaluations = [_evaluation(one) for one in results.evaluations]
    environment = Environment(
        loader=PackageLoader("frankensplit.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    html = environment.get_template("template.html.j2").render(
        title=words.title(first),
        lead=[words.lead(one) for one in results.evaluations],
        facts=words.facts(first or results.all[0]),
        headline=headline,
        evaluations=evaluations,
        links=[_links(one) for one in results.links],
        components=[(one, page_tables.components_table(one)) for one in results.components],
        networks=[_network(one) for one in results.networks],
        pictures=pictures if isinstance(pictures, Pictures) else None,
        no_pictures=pictures if isinstance(pictures, str) else "",
        sources=[(one, page_tables.check_table(one) if one.kind == "check" else None) for one in results.all],
        ignored=results.ignored,
        missing=results.missing,
        commands=COMMANDS,
        machine_words=words.machine_words,
        notes=words.notes,
        unmeasured=words.unmeasured,
        rate_of=words.rate_of,
        number=words.number,
        most_lost=MOST_LOST,
        linear_to=LINEAR_TO,
    )
    files = {"headline.png": headline["plot"].data} if headline else {}
    for evaluation in evaluations:
        for head, plot in evaluation["plots"]:
            files[f"{evaluation['one'].path.stem}-{_slug(head.name)}.png"] = plot.data
    return Report(html, files)


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write page and plots, each whole or not at all; return their paths, the page first."""
    files = {PAGE: report.html.encode("utf-8"), **report.files}
    for name, data in files.items():
        write_file(folder / name, data)
    return [folder / name for name in files]


def _plot(make: Callable[[], Figure], alt: str) -> Plot:
    with styled():
        figure = make()
        width, height = (round(side * CSS_DPI) for side in figure.get_size_inches())
        return Plot(png(figure), alt, width, height)


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]+", "-", name)[:40]


def _headline(first: Measured) -> dict[str, Any]:
    head = next(iter(first.heads.values()))
    alt = f"Points of {head.metric} lost against kilobytes a frame for {len(head.codecs)} codecs."
    return {
        "one": first,
        "head": head,
        "plot": _plot(lambda: loss_figure(head, words.rate_of(first)), alt),
        "ends_at": most_lost(head),
        "outside": outside(head),
        "bars": words.bars(first),
    }


def _evaluation(one: Measured) -> dict[str, Any]:
    heads = list(one.heads.values())
    return {
        "one": one,
        "agreement": any(head.truth != "labels" for head in heads),
        "bars": words.bars(one),
        "bounded": any(head.prediction_bytes for head in heads),
        "plots": [(head, _head_plot(one, head)) for head in heads],
        "needs": page_tables.needs_table(one),
        "has_bd_rate": any(rate is not None for head in heads for rate in head.bd_rate_percent.values()),
        "rows": page_tables.rows_table(one),
    }


def _head_plot(one: Measured, head: HeadResult) -> Plot:
    ours = head.ours
    alt = (
        f"{head.metric} of {head.name} on {one.data} against kilobytes a frame: unmodified backbone "
        f"{points(head.unmodified)}, our packets {points(ours.value)} at {size(ours.bytes_per_frame)}. "
        "All figures are in the tables below."
    )
    return _plot(lambda: accuracy_figure(head), alt)


def _links(one: Measured) -> dict[str, Any]:
    alt = (
        "Milliseconds of one frame over each link, made of encoding, transfer, decoding and inference; the totals "
        "are in the table below."
    )
    return {
        "one": one,
        "plot": _plot(lambda: link_figure(one), alt),
        "table": page_tables.link_table(one),
        "unreached": any(not row["reaches"] for row in one.rows),
    }


def _network(one: Measured) -> dict[str, Any]:
    if not one.rows:
        return {"one": one, "skipped": str(one.raw.get("skipped") or "no rows"), "plot": None, "table": None}
    alt = (
        "Frames a second with a prediction, age of the newest prediction, and accuracy held, against the share of "
        "packets lost; the figures are in the table below."
    )
    plot = _plot(lambda: network_figure(one), alt)
    link = one.raw.get("link")
    mbit_s = words.number(link.get("mbit_s")) if isinstance(link, dict) else None
    return {
        "one": one,
        "skipped": "",
        "plot": plot,
        "mbit_s": mbit_s,
        "table": page_tables.network_table(one),
    }
