# SPDX-License-Identifier: Apache-2.0
"""Find measured results, tell by their content what they are, and check the fields that the page shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from frankensplit.data.limits import MAX_RESULT_BYTES, read_json
from frankensplit.errors import DataError
from frankensplit.evaluation import OURS

KINDS = ("evaluate", "components", "link", "network", "check")
_EVALUATION = "docs/results/street-camvid-val.json"
COMMANDS = {
    "evaluate": f"frankensplit evaluate bundles/street --data camvid:val --rival all --json {_EVALUATION}",
    "components": f"frankensplit bench components bundles/street --results {_EVALUATION}"
    " --json docs/results/components.json",
    "link": f"frankensplit bench link bundles/street --results {_EVALUATION}"
    " --components docs/results/components.json --json docs/results/link.json",
    "network": "frankensplit bench network bundles/street --json docs/results/network.json",
    "check": "frankensplit bench check bundles/street --update",
}
NUMBERS = {  # number fields of a row of each kind; null if a codec lacks that part
    "components": (
        "bytes_per_frame",
        "encoder_parameters",
        "decoder_parameters",
        "encoder_macs",
        "decoder_macs",
        "encode_ms",
        "entropy_encode_ms",
        "entropy_decode_ms",
        "decode_ms",
        "tail_ms",
        "heads_ms",
        "total_ms",
        "peak_memory_mb",
        "encode_joules",
    ),
    "link": (
        "bytes_per_frame",
        "loss_points",
        "encode_ms",
        "transfer_ms",
        "decode_ms",
        "inference_ms",
        "total_ms",
        "frames_per_s",
    ),
    "network": (
        "loss_percent",
        "bytes_per_frame",
        "delivered_fps",
        "age_p50_ms",
        "age_p95_ms",
        "value_held",
        "value_delivered",
    ),
}


@dataclass(frozen=True)
class Row:
    """One codec at one quality, for one head; ``ci95`` is the interval of ``loss_points``."""

    codec: str
    quality: str
    bytes_per_frame: float
    bpp: float
    value: float
    loss_points: float
    ci95: tuple[float, float] | None


@dataclass(frozen=True)
class HeadResult:
    """What was measured of one head."""

    name: str
    metric: str
    truth: str
    unmodified: float
    rows: list[Row]
    bytes_at_our_loss: dict[str, float | None]
    bd_rate_percent: dict[str, float | None]
    bd_rate_over_jpeg_percent: dict[str, float | None]
    prediction_bytes: float | None

    @property
    def ours(self) -> Row:
        """Our packets at level 0, the one that rivals are compared with."""
        return min(self.rows_of(OURS), key=lambda row: int(row.quality or 0))

    @property
    def codecs(self) -> list[str]:
        """Names of all codecs, in the order of the file: ours first."""
        return list(dict.fromkeys(row.codec for row in self.rows))

    def need(self, codec: str) -> tuple[float | None, bool]:
        """Return the bytes that a codec needs to lose no more than we do, and whether its sweep gets there.

        Where it does not, the bytes are the most that were measured: it needs more than those, if known at all.
        """
        known = self.bytes_at_our_loss.get(codec)
        rows = self.rows_of(codec)
        return (known, True) if known else (rows[-1].bytes_per_frame if rows else None, False)

    def rows_of(self, codec: str) -> list[Row]:
        """Return a codec's rows, fewest bytes first."""
        return sorted((row for row in self.rows if row.codec == codec), key=lambda row: row.bytes_per_frame)


@dataclass(frozen=True)
class Measured:
    """One file of results, and where it comes from."""

    path: Path
    kind: str
    bundle: str
    data: str
    frames: int | None
    command: str
    commit: str
    machine: dict[str, str]
    raw: dict[str, Any] = field(repr=False)
    rows: list[dict[str, Any]] = field(default_factory=list, repr=False)  # a benchmark's rows
    heads: dict[str, HeadResult] = field(default_factory=dict, repr=False)  # an evaluation's heads


@dataclass(frozen=True)
class Results:
    """All results of one page; evaluations with true labels and most frames come first."""

    evaluations: list[Measured]
    components: list[Measured]
    links: list[Measured]
    networks: list[Measured]
    checks: list[Measured]
    ignored: list[str]

    @property
    def all(self) -> list[Measured]:
        """Every file of results, in the page's order."""
        return [*self.evaluations, *self.links, *self.components, *self.networks, *self.checks]

    @property
    def head(self) -> HeadResult | None:
        """The head that the page leads with."""
        return next((head for one in self.evaluations for head in one.heads.values()), None)

    @property
    def missing(self) -> dict[str, str]:
        """The command that makes each kind of results that is not there."""
        found = {one.kind for one in self.all}
        return {kind: command for kind, command in COMMANDS.items() if kind not in found}


def read_results(paths: Sequence[Path]) -> Results:
    """Read result files, and all ``*.json`` of folders.

    Args:
        paths: files and folders; a JSON file in a folder that is not a result is left out and named in ``ignored``.

    Raises:
        DataError: nothing is found, or a file is damaged or lacks a field.
    """
    found, ignored = [], []
    for path in paths:
        for file in _files(path):
            raw = _load(file)
            kind = kind_of(raw)
            if kind:
                found.append(_measured(file, kind, raw))
            elif path.is_dir():
                ignored.append(file.name)
            else:
                raise DataError(f"{file} holds no results that a report knows: {', '.join(KINDS)}")
    if not found:
        places = ", ".join(map(str, paths))
        raise DataError(f"no results in {places}: make some with `{COMMANDS['evaluate']}`")
    by_kind = {kind: [one for one in found if one.kind == kind] for kind in KINDS}
    evaluations = sorted(by_kind["evaluate"], key=_precedence)
    return Results(
        evaluations,
        by_kind["components"],
        by_kind["link"],
        by_kind["network"],
        by_kind["check"],
        ignored,
    )


def kind_of(raw: Any) -> str | None:
    """Return what a result is, by its ``kind`` or its content; None for anything else."""
    if not isinstance(raw, Mapping):
        return None
    named = str(raw.get("kind", "")).removeprefix("bench ")
    if named in KINDS:
        return named
    if "heads" in raw and "bundle" in raw:
        return "evaluate"
    if "links" in raw:
        return "link"
    if isinstance(raw.get("figures"), Mapping):
        return "check"
    rows = raw.get("rows")
    first = rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], Mapping) else {}
    if "loss_percent" in first or ("skipped" in raw and "link" in raw):
        return "network"
    return "components" if "encoder_parameters" in first else None


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(path.glob("*.json"))
    if not path.is_file():
        raise DataError(f"{path} is not a file or folder: give result files, or a folder of them")
    return [path]


def _load(path: Path) -> Any:
    try:
        return read_json(path, MAX_RESULT_BYTES)
    except DataError as err:
        raise DataError(f"{path} is not readable JSON ({err}); make it again with the command in it") from err


def _measured(path: Path, kind: str, raw: Mapping[str, Any]) -> Measured:
    top = _Fields(path, "the result", raw)
    frames = raw.get("frames")
    measured = Measured(
        path=path,
        kind=kind,
        bundle=top.text("bundle", "unknown"),
        data=top.text("data", "unknown"),
        frames=frames if isinstance(frames, int) else None,
        command=top.text("command", "unknown"),
        commit=top.text("commit", "unknown"),
        machine={str(name): str(value) for name, value in top.mapping("machine").items()},
        raw=dict(raw),
    )
    if kind == "evaluate":
        heads = top.mapping("heads")
        measured.heads.update({name: _head(path, name, head) for name, head in heads.items()})
        if not heads:
            raise DataError(f"{path} has no heads; make it again with `{COMMANDS['evaluate']}`")
    elif kind == "check":
        figures = _Fields(path, "figures", top.mapping("figures"))
        measured.rows.extend(_check_row(path, name, figure) for name, figure in figures.raw.items())
    else:
        measured.rows.extend(_bench_row(row, kind) for row in top.rows("rows", "row"))
    return measured


def _check_row(path: Path, name: str, raw: Any) -> dict[str, Any]:
    figure = _Fields(path, f"figure {name!r}", raw)
    return {"name": name} | {key: figure.number(key) for key in ("value", "spread", "allowed")}


def _head(path: Path, name: str, raw: Any) -> HeadResult:
    fields = _Fields(path, f"head {name!r}", raw)
    rows = [_row(row) for row in fields.rows("rows", "row")]
    if OURS not in {row.codec for row in rows}:
        raise DataError(f"{path}: head {name!r} has no row of {OURS!r}; evaluate again")
    return HeadResult(
        name=name,
        metric=fields.text("metric"),
        truth=fields.text("truth", "labels"),
        unmodified=fields.number("unmodified"),
        rows=rows,
        bytes_at_our_loss=fields.numbers("bytes_at_our_loss"),
        bd_rate_percent=fields.numbers("bd_rate_percent"),
        bd_rate_over_jpeg_percent=fields.numbers("bd_rate_over_jpeg_percent"),
        prediction_bytes=fields.optional("prediction_bytes"),
    )


def _row(row: _Fields) -> Row:
    interval = row.raw.get("ci95")
    if interval is not None:
        if not isinstance(interval, Sequence) or len(interval) != 2:
            raise row.wrong("ci95", interval, "two numbers")
        low, high = (_finite(value) for value in interval)
        if low is None or high is None:
            raise row.wrong("ci95", interval, "two numbers")
    return Row(
        codec=row.text("codec"),
        quality=quality_text(row.raw.get("quality")),
        bytes_per_frame=row.positive("bytes_per_frame"),
        bpp=row.number("bpp"),
        value=row.number("value"),
        loss_points=row.number("loss_points"),
        ci95=None if interval is None else (low, high),  # type: ignore[arg-type]
    )


def _bench_row(row: _Fields, kind: str) -> dict[str, Any]:
    """Return a row's texts and its numbers, None where there is none.

    Bytes of an ``untrained`` codec mean nothing; one that does not reach the loss asked for has not ``reaches``.
    """
    texts = {"codec": row.text("codec"), "quality": quality_text(row.raw.get("quality"))}
    if kind == "link":
        texts["link"] = row.text("link")
    marks = {"untrained": bool(row.raw.get("weights")), "reaches": row.raw.get("reaches") is not False}
    return texts | marks | {name: row.optional(name) for name in NUMBERS[kind]}


def quality_text(quality: Any) -> str:
    """Return a quality as the page shows it; nothing for a codec without one."""
    return "" if quality is None else str(quality)


def _precedence(one: Measured) -> tuple[bool, int, str]:
    agreement = any(head.truth != "labels" for head in one.heads.values())
    return agreement, -(one.frames or 0), one.path.name


def _finite(value: Any) -> float | None:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else None


class _Fields:
    """One JSON object of a file, and errors that name both."""

    def __init__(self, path: Path, where: str, raw: Any) -> None:
        self.path, self.where = path, where
        if not isinstance(raw, Mapping):
            raise DataError(f"{path}: {where} is {raw!r:.60}, expected an object; make the file again")
        self.raw = raw

    def wrong(self, name: str, value: Any, expected: str) -> DataError:
        return DataError(
            f"{self.path}: {self.where} has {name} = {value!r:.60}, expected {expected}; make the file again"
        )

    def text(self, name: str, default: str | None = None) -> str:
        value = self.raw.get(name, default)
        if not isinstance(value, str):
            raise self.wrong(name, value, "a text")
        return value

    def number(self, name: str) -> float:
        value = _finite(self.raw.get(name))
        if value is None:
            raise self.wrong(name, self.raw.get(name), "a number")
        return value

    def positive(self, name: str) -> float:
        value = self.number(name)
        if value <= 0:
            raise self.wrong(name, value, "more than 0")
        return value

    def optional(self, name: str) -> float | None:
        return None if self.raw.get(name) is None else self.number(name)

    def mapping(self, name: str) -> Mapping[str, Any]:
        value = self.raw.get(name, {})
        if not isinstance(value, Mapping):
            raise self.wrong(name, value, "an object")
        return value

    def numbers(self, name: str) -> dict[str, float | None]:
        inner = _Fields(self.path, f"{name} of {self.where}", self.mapping(name))
        return {key: inner.optional(key) for key in inner.raw}

    def rows(self, name: str, what: str) -> list[_Fields]:
        value = self.raw.get(name, [])
        if not isinstance(value, list):
            raise self.wrong(name, value, "a list")
        return [
            _Fields(self.path, f"{what} {number} of {self.where}", row) for number, row in enumerate(value)
        ]
