# SPDX-License-Identifier: Apache-2.0
"""The page's tables, as cells of text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from frankensplit.evaluation import OURS
from frankensplit.report.codecs import in_order, look_of
from frankensplit.report.numbers import (
    NONE,
    count,
    digits,
    duration,
    interval,
    kilobytes,
    percent,
    points,
    size,
)
from frankensplit.report.read import HeadResult, Measured
from frankensplit.report.speed import link_names, link_title

ALIKE = 0.05  # ratios nearer to 1 than this are called equal


@dataclass(frozen=True)
class Cell:
    """A cell: its text, a smaller line below it, and a tone (``ours``, ``theirs`` or none)."""

    text: str
    note: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Line:
    """A row of a table; a family's title has no cells."""

    head: Cell
    cells: list[Cell] = field(default_factory=list)


@dataclass(frozen=True)
class PageTable:
    """A table: the title of its first column, groups of the others with their titles, its rows."""

    label: str
    first: str
    groups: list[tuple[str, list[str]]]
    lines: list[Line]

    @property
    def columns(self) -> list[str]:
        """Titles of all columns but the first."""
        return [column for _, columns in self.groups for column in columns]

    @property
    def starts(self) -> set[int]:
        """Indices of the columns that begin a group, after the first group."""
        widths = [len(columns) for _, columns in self.groups]
        return {sum(widths[:number]) for number in range(1, len(widths))}

    @property
    def grouped(self) -> bool:
        """Whether some group has a title."""
        return any(title for title, _ in self.groups)


def needs_table(one: Measured) -> PageTable:
    """Return what each rival needs to lose no more than we do, head by head."""
    heads = list(one.heads.values())
    groups = [(f"{head.name}, {head.metric}", [title for title, _ in _needs_columns(head)]) for head in heads]
    codecs = dict.fromkeys(codec for head in heads for codec in head.bytes_at_our_loss)
    ours = Line(_codec_cell(OURS), [cell for head in heads for cell in _our_cells(head)])

    def line(codec: str) -> Line:
        cells = [make(codec) for head in heads for _, make in _needs_columns(head)]
        return Line(_codec_cell(codec), cells)

    return PageTable("Bytes at our loss", "codec", groups, [ours, *_by_family(list(codecs), line)])


def rows_table(one: Measured) -> PageTable:
    """Return every row of an evaluation: a codec at a quality, its bytes, and each head's value, loss, interval."""
    heads = list(one.heads.values())
    groups = [("", ["quality", "bytes a frame", "bpp"])]
    groups += [(f"{head.name}, {head.metric}", ["value", "points lost", "95 % interval"]) for head in heads]
    by_head = [{(row.codec, row.quality): row for row in head.rows} for head in heads]
    keys = dict.fromkeys(key for rows in by_head for key in rows)
    lines = []
    for codec, quality in keys:
        found = [rows.get((codec, quality)) for rows in by_head]
        first = next(row for row in found if row)
        cells = [Cell(quality or NONE), Cell(f"{first.bytes_per_frame:,.0f}"), Cell(f"{first.bpp:.3f}")]
        for row in found:
            values = (
                (points(row.value), points(row.loss_points), interval(row.ci95) or NONE)
                if row
                else (NONE,) * 3
            )
            cells += [Cell(value) for value in values]
        lines.append(Line(_codec_cell(codec), cells))
    return PageTable("Every row", "codec", groups, lines)


def link_table(link: Measured) -> PageTable:
    """Return frames a second over each link, with the milliseconds of one frame below."""
    names = link_names(link)
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in link.rows:
        found.setdefault(row["codec"], {})[row["link"]] = row

    def line(codec: str) -> Line:
        rows = found[codec]
        first = next(iter(rows.values()))
        lost = points(first["loss_points"]) + ("" if first["reaches"] else " *")
        cells = [Cell(size(first["bytes_per_frame"])), Cell(lost)]
        for name in names:
            row = rows.get(name, {})
            cells.append(Cell(digits(row.get("frames_per_s")), duration(row.get("total_ms"))))
        return Line(_codec_cell(codec, first["quality"]), cells)

    groups = [
        ("", ["a frame", "points lost"]),
        ("frames/s, and time of one frame", [link_title(link, n) for n in names]),
    ]
    return PageTable(
        "Frames a second over links", "codec", groups, [line(codec) for codec in in_order(list(found))]
    )


def components_table(components: Measured) -> PageTable:
    """Return what each part of each codec costs."""
    columns: list[tuple[str, Callable[[dict[str, Any]], str]]] = [
        ("a frame", lambda row: NONE if row["untrained"] else size(row["bytes_per_frame"])),
        ("parameters, enc / dec", lambda row: _pair(row, "encoder_parameters", "decoder_parameters")),
        ("MACs, enc / dec", lambda row: _pair(row, "encoder_macs", "decoder_macs")),
        ("encode", lambda row: digits(row["encode_ms"])),
        ("entropy, enc / dec", lambda row: _pair(row, "entropy_encode_ms", "entropy_decode_ms", digits)),
        ("decode", lambda row: digits(row["decode_ms"])),
        ("tail", lambda row: digits(row["tail_ms"])),
        ("heads", lambda row: digits(row["heads_ms"])),
        ("total", lambda row: digits(row["total_ms"])),
        ("peak MB", lambda row: NONE if row["peak_memory_mb"] is None else f"{row['peak_memory_mb']:,.0f}"),
        ("J a frame", lambda row: digits(row["encode_joules"])),
    ]
    columns = [
        column
        for column in columns
        if column[0] not in ("peak MB", "J a frame") or any(column[1](row) != NONE for row in components.rows)
    ]

    def line(row: dict[str, Any]) -> Line:
        return Line(_codec_cell(row["codec"], row["quality"]), [Cell(make(row)) for _, make in columns])

    order = in_order([row["codec"] for row in components.rows])
    rows = sorted(components.rows, key=lambda row: order.index(row["codec"]))
    titles = [title for title, _ in columns]
    groups = [("", titles[:3]), ("ms", titles[3:9]), ("robot", titles[9:])]
    return PageTable(
        "Cost of components", "codec", [group for group in groups if group[1]], [line(row) for row in rows]
    )


def network_table(network: Measured) -> PageTable:
    """Return every stream at every loss."""
    rows = sorted(
        network.rows,
        key=lambda row: (
            in_order([r["codec"] for r in network.rows]).index(row["codec"]),
            row["loss_percent"],
        ),
    )
    metric = network.raw.get("metric", "accuracy")
    columns = [
        "% lost",
        "a frame",
        "frames/s",
        "age p50",
        "age p95",
        f"{metric} held",
        f"{metric} of those delivered",
    ]
    lines = [
        Line(
            _codec_cell(row["codec"], row["quality"]),
            [
                Cell(f"{row['loss_percent']:g}"),
                Cell(size(row["bytes_per_frame"])),
                Cell(digits(row["delivered_fps"])),
                Cell(duration(row["age_p50_ms"])),
                Cell(duration(row["age_p95_ms"])),
                Cell(points(row["value_held"])),
                Cell(points(row["value_delivered"])),
            ],
        )
        for row in rows
    ]
    return PageTable("Every stream at every loss", "stream", [("", columns)], lines)


def check_table(check: Measured) -> PageTable:
    """Return the standing check's figures and how much worse each may become."""
    lines = [
        Line(
            Cell(row["name"].replace("_", " ")),
            [Cell(f"{row[key]:,.4g}") for key in ("value", "spread", "allowed")],
        )
        for row in check.rows
    ]
    return PageTable("Figures of the standing check", "figure", [("", ["value", "spread", "at most"])], lines)


def _codec_cell(codec: str, quality: str = "") -> Cell:
    return Cell(
        look_of(codec).title, f"quality {quality}" if quality else "", "ours" if codec == OURS else ""
    )


def _by_family(codecs: list[str], line: Callable[[str], Line]) -> list[Line]:
    """Return codecs' rows below the titles of their families."""
    lines, family = [], None
    for codec in in_order(codecs):
        if look_of(codec).family is not family:
            family = look_of(codec).family
            alone = "" if family.alone else "a frame needs those before it"
            lines.append(Line(Cell(family.title, alone)))
        lines.append(line(codec))
    return lines


def _needs_columns(head: HeadResult) -> list[tuple[str, Callable[[str], Cell]]]:
    """Return the columns of one head; BD-rates only where there are some."""
    columns: list[tuple[str, Callable[[str], Cell]]] = [
        ("kB a frame", lambda codec: Cell(kilobytes(*head.need(codec)))),
        ("ours / theirs", lambda codec: Cell(_ratio(head, codec))),
        ("", lambda codec: _winner(head, codec)),
    ]
    rates = (("BD-rate of ours", head.bd_rate_percent), ("BD-rate over JPEG", head.bd_rate_over_jpeg_percent))
    for title, found in rates:
        if any(rate is not None for rate in found.values()):
            columns.append((title, lambda codec, found=found: Cell(percent(found.get(codec)))))  # type: ignore[misc]
    return columns


def _ratio(head: HeadResult, codec: str) -> str:
    need, reached = head.need(codec)
    return f"{'' if reached else '< '}{digits(head.ours.bytes_per_frame / need)}" if need else NONE


def _winner(head: HeadResult, codec: str) -> Cell:
    """Say who is smaller, where the sweep tells."""
    need, reached = head.need(codec)
    ratio = head.ours.bytes_per_frame / need if need else 1.0
    if not reached and ratio > 1 - ALIKE:
        return Cell("its sweep ends")
    if abs(ratio - 1) < ALIKE:
        return Cell("about equal")
    return Cell("ours is smaller", tone="ours") if ratio < 1 else Cell("theirs is smaller", tone="theirs")


def _our_cells(head: HeadResult) -> list[Cell]:
    ours = head.ours
    lost = Cell(f"{points(ours.loss_points)} points lost", interval(ours.ci95), "ours")
    rest = [Cell("") for _ in _needs_columns(head)[3:]]
    return [Cell(kilobytes(ours.bytes_per_frame), "", "ours"), Cell(""), lost, *rest]


def _pair(row: dict[str, Any], first: str, second: str, words: Callable[[float | None], str] = count) -> str:
    if row[first] is None and row[second] is None:
        return NONE
    return f"{words(row[first])} / {words(row[second])}"
