# SPDX-License-Identifier: Apache-2.0
"""Put curves, tables, pictures and claims together into one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from frankensplit.report import claims, key, paper, tables, words
from frankensplit.report.curves import MOST_LOST, accuracy_figure, loss_figure
from frankensplit.report.numbers import points, size
from frankensplit.report.pictures import Pictures
from frankensplit.report.plots import CSS_DPI, DARK, HALF, LIGHT, NARROW, WIDE, Layout, Style, png, styled
from frankensplit.report.read import COMMANDS, Head, Measured, Results
from frankensplit.report.speed import link_figure, network_figure
from frankensplit.writing import write_file

PAGE = "report.html"
PHONE_PX = 640  # up to this width of the window, the plots for phones are shown


@dataclass(frozen=True)
class Source:
    """One rendering of a plot: for which windows, its file as a data address, its size in CSS pixels."""

    media: str
    address: str
    width: int
    height: int


@dataclass(frozen=True)
class Plot:
    """A plot in all its renderings, the last of which fits any window."""

    alt: str
    caption: str
    sources: list[Source]


@dataclass(frozen=True)
class Report:
    """The page, and the plots that go into files of their own, by file name."""

    html: str
    files: dict[str, bytes]
    claims: list[dict[str, str]]


def make_report(results: Results, pictures: Pictures | str) -> Report:
    """Render the page.

    Args:
        results: what was measured.
        pictures: frames side by side, or why there are none.
    """
    judged, aims = claims.judged(claims.CLAIMS, results), claims.judged(claims.AIMS, results)
    first = results.evaluations[0] if results.evaluations else None
    environment = Environment(
        loader=PackageLoader("frankensplit.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    html = environment.get_template("template.html.j2").render(
        title=words.title(first),
        lead=words.lead(results.head) if results.head else [],
        elsewhere=[words.elsewhere(one) for one in results.evaluations[1:]],
        facts=words.facts(first or results.all[0]),
        headline=_headline(first) if first else None,
        evaluations=[_evaluation(one) for one in results.evaluations],
        links=[_links(one) for one in results.links],
        components=[(one, tables.components_table(one)) for one in results.components],
        networks=[_network(one) for one in results.networks],
        pictures=pictures if isinstance(pictures, Pictures) else None,
        no_pictures=pictures if isinstance(pictures, str) else "",
        claims=tables.claims_table("Claims of the paper", "claim", judged),
        aims=tables.claims_table("Aims of this project", "aim", aims),
        tally=_tally(judged),
        sources=[(one, tables.check_table(one) if one.kind == "check" else None) for one in results.all],
        ignored=results.ignored,
        missing=results.missing,
        commands=COMMANDS,
        paper=paper,
        paper_links=tables.paper_link_table(),
        paper_components=tables.paper_components_table(),
        machine_words=words.machine_words,
        notes=words.notes,
        unmeasured=words.unmeasured,
        most_lost=MOST_LOST,
    )
    return Report(html, _files(results), [*judged, *aims])


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write page and plots, each whole or not at all; return their paths, the page first."""
    files = {PAGE: report.html.encode("utf-8"), **report.files}
    for name, data in files.items():
        write_file(folder / name, data)
    return [folder / name for name in files]


def _plot(make: Callable[[Style], Figure], layouts: Sequence[Layout], alt: str, caption: str) -> Plot:
    """Draw a plot in light and dark for each layout, the general one last."""
    sources = []
    for layout in sorted(layouts, key=(NARROW, HALF, WIDE).index):
        for theme in (DARK, LIGHT):
            style = Style(theme, layout)
            with styled(style):
                figure = make(style)
                data = png(figure, theme)
            media = ["screen", "(prefers-color-scheme: dark)"] if theme is DARK else []
            media += [f"(max-width: {PHONE_PX}px)"] if layout is NARROW else []
            width, height = (round(side * CSS_DPI) for side in figure.get_size_inches())
            sources.append(
                Source(
                    " and ".join(sorted(media, key=lambda one: one != "screen")),
                    _address(data),
                    width,
                    height,
                )
            )
    return Plot(alt, caption, sources)


def _address(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode('ascii')}"


def _files(results: Results) -> dict[str, bytes]:
    """Return the plots of the first head and of every head, light and wide, by file name."""
    style = Style(LIGHT, WIDE)
    found: dict[str, bytes] = {}
    with styled(style):
        if results.head:
            found["headline.png"] = png(
                loss_figure(results.head, words.rate_of(results.evaluations[0]), style), LIGHT
            )
        for one in results.evaluations:
            for head in one.heads.values():
                found[f"{one.path.stem}-{_slug(head.name)}.png"] = png(accuracy_figure(head, style), LIGHT)
    return found


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]+", "-", name)[:40]


def _headline(first: Measured) -> Plot:
    head = next(iter(first.heads.values()))
    return _plot(
        lambda style: loss_figure(head, words.rate_of(first), style),
        (WIDE, NARROW),
        f"Points of {head.metric} lost against kilobytes a frame for {len(head.codecs)} codecs. "
        + " ".join(words.lead(head)),
        words.headline_caption(first, head),
    )


def _evaluation(one: Measured) -> dict[str, Any]:
    heads = list(one.heads.values())
    return {
        "one": one,
        "agreement": any(head.truth != "labels" for head in heads),
        "bars": words.bars(one),
        "bounded": any(head.prediction_bytes for head in heads),
        "plots": [_head_plot(one, head) for head in heads],
        "key": key.legend(list(dict.fromkeys(codec for head in heads for codec in head.codecs))),
        "needs": tables.needs_table(one),
        "has_bd_rate": any(rate is not None for head in heads for rate in head.bd_rate_percent.values()),
        "rows": tables.rows_table(one),
    }


def _head_plot(one: Measured, head: Head) -> Plot:
    ours = head.ours
    caption = f"{head.name.capitalize()}, {head.metric}"
    alt = (
        f"{head.metric} of {head.name} on {one.data} against kilobytes a frame: unmodified backbone "
        f"{points(head.unmodified)}, our packets {points(ours.value)} at {size(ours.bytes_per_frame)}. "
        "All figures are in the tables below."
    )
    return _plot(lambda style: accuracy_figure(head, style), (HALF,), alt, caption)


def _links(one: Measured) -> dict[str, Any]:
    alt = (
        "Milliseconds of one frame over each link, made of encoding, transfer, decoding and inference; the totals "
        "are in the table below."
    )
    caption = words.links_caption(one)
    return {
        "one": one,
        "plot": _plot(lambda style: link_figure(one, style), (WIDE, NARROW), alt, caption),
        "table": tables.link_table(one),
        "unreached": any(not row["reaches"] for row in one.rows),
    }


def _network(one: Measured) -> dict[str, Any]:
    if not one.rows:
        return {"one": one, "skipped": str(one.raw.get("skipped") or "no rows"), "plot": None, "table": None}
    alt = (
        "Frames a second with a prediction, age of the newest prediction, and accuracy held, against the share of "
        "packets lost; the figures are in the table below."
    )
    plot = _plot(lambda style: network_figure(one, style), (WIDE, NARROW), alt, words.network_caption(one))
    return {"one": one, "skipped": "", "plot": plot, "table": tables.network_table(one)}


def _tally(judged: Sequence[Mapping[str, str]]) -> str:
    verdicts = [one["verdict"] for one in judged]
    kinds = (claims.CONFIRMED, claims.REFUTED, claims.OUT_OF_REACH)
    return ", ".join(f"{verdicts.count(kind)} {kind}" for kind in kinds)
