# SPDX-License-Identifier: Apache-2.0
"""``frankensplit bench link``: the paper's Table 7 on this machine, entropy coding and headers counted for everyone.

A frame is encoded on the robot, crosses the link and is decoded and understood on the server: ``total_ms`` is their
sum. The three work at once on different frames, so ``frames_per_s`` follows from the slowest.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frankensplit.arguments import add_json, write_json
from frankensplit.benchmarks.components import add_measurement, measure
from frankensplit.errors import DataError

if TYPE_CHECKING:
    from frankensplit.benchmarks.links import Link
    from frankensplit.benchmarks.settings import RatedSetting
COLUMNS = {
    "encode_ms": "encode",
    "transfer_ms": "link",
    "transfer_nominal_ms": "nominal",
    "decode_ms": "decode",
    "inference_ms": "infer",
    "total_ms": "total",
    "frames_per_s": "fps",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-verb's arguments."""
    from frankensplit.benchmarks.settings import add_choice

    add_measurement(parser)
    parser.add_argument(
        "--results",
        required=True,
        type=Path,
        metavar="EVALUATION",
        help="JSON of frankensplit evaluate: bytes and losses",
    )
    parser.add_argument(
        "--components",
        type=Path,
        metavar="JSON",
        help="of frankensplit bench components: times (default: measure them now)",
    )
    parser.add_argument(
        "--profile",
        action="append",
        default=[],
        type=Path,
        metavar="YAML",
        help="a measured link: name, mbit_s or trace_mbit_s (counts by its harmonic mean), mtu_bytes, overhead_bytes",
    )
    add_choice(parser)
    add_json(parser)


def main(args: argparse.Namespace) -> int:
    """Put sizes, times and links together; print tables, write JSON."""
    from frankensplit.benchmarks.links import LINKS, read_profile
    from frankensplit.benchmarks.settings import RatedSetting, choose, read_results
    from frankensplit.evaluation import RAW
    from frankensplit.evaluation.provenance import provenance

    results = read_results(args.results)
    settings = choose(results, args.head, args.at_loss)
    links = [*LINKS, *(read_profile(path) for path in args.profile)]
    if args.components:
        components = read_components(args.components)
    else:
        components = measure(args, [*settings.values(), RatedSetting(RAW, None)], extras=False)
    if components["bundle"] != results["bundle"]:
        raise DataError(
            f"times are of bundle {components['bundle']!r}, {args.results} is of {results['bundle']!r}; "
            "time the same bundle"
        )
    rows, missing = link_rows(components, settings | _raw(components), links)
    result = {
        "bundle": results["bundle"],
        "data": results["data"],
        "head": args.head or next(iter(results["heads"])),
        "at_loss_points": args.at_loss,
        **provenance(),
        "times": {
            key: components[key] for key in ("bundle", "data", "frames", "threads", "device", "machine")
        },
        "not_measured": missing,
        "links": [link.model_dump() for link in links],
        "rows": rows,
    }
    _print(result)
    write_json(result, args.json)
    return 0


def read_components(path: Path) -> dict[str, Any]:
    """Read what ``frankensplit bench components --json`` wrote.

    Raises:
        DataError: it cannot be read, or is something else.
    """
    try:
        components = json.loads(path.read_text(encoding="utf-8"))
        for key in ("bundle", "data", "frames", "threads", "device", "machine", "height", "width"):
            components[key]
        if not all("encode_ms" in row for row in components["rows"]):
            raise KeyError("encode_ms")
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise DataError(
            f"{path} is not a result of frankensplit bench components ({type(err).__name__}: {err}); "
            "write one with its --json, or leave --components out"
        ) from err
    return dict(components)


def link_rows(
    components: dict[str, Any], settings: dict[str, RatedSetting], links: list[Link]
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return a row for each codec and link, and why a codec has none.

    Args:
        components: of ``bench components``.
        settings: of the codecs, with their bytes and losses.
        links: the links.
    """
    timed = {codec: row for codec, setting in settings.items() if (row := _timed(components, setting))}
    missing = {
        codec: components.get("not_measured", {}).get(codec, "its times were not measured")
        for codec in settings
        if codec not in timed
    }
    rows = [_row(_of_codec(row, settings[codec]), link) for codec, row in timed.items() for link in links]
    return rows, missing


def _timed(components: dict[str, Any], setting: RatedSetting) -> dict[str, Any] | None:
    """Return the times of a codec, at the setting's quality where that was timed."""
    rows = [row for row in components["rows"] if row["codec"] == setting.codec]
    return min(rows, key=lambda row: row["quality"] != setting.quality, default=None)


def _raw(components: dict[str, Any]) -> dict[str, RatedSetting]:
    """Return the setting of frames that are sent as they are, where they were timed."""
    from frankensplit.benchmarks.settings import RatedSetting
    from frankensplit.evaluation import RAW

    return {
        row["codec"]: RatedSetting(RAW, None, row["bytes_per_frame"], 0.0, True)
        for row in components["rows"]
        if row["codec"] == RAW
    }


def _of_codec(timed: dict[str, Any], setting: RatedSetting) -> dict[str, Any]:
    """Return the columns of a codec that do not depend on the link."""
    return {
        "codec": setting.codec,
        "quality": setting.quality,
        "timed_quality": timed["quality"],
        "bytes_per_frame": setting.bytes_per_frame,
        "loss_points": setting.loss_points,
        "reaches": setting.reaches,
        "encode_ms": _sum(timed, "encode_ms", "entropy_encode_ms"),
        "decode_ms": _sum(timed, "entropy_decode_ms", "decode_ms"),
        "inference_ms": _sum(timed, "tail_ms", "heads_ms"),
    }


def _row(columns: dict[str, Any], link: Link) -> dict[str, Any]:
    transfer_ms = link.transfer_ms(columns["bytes_per_frame"])
    server_ms = columns["decode_ms"] + columns["inference_ms"]
    slowest_ms = max(columns["encode_ms"], transfer_ms, server_ms)
    return {
        **columns,
        "link": link.name,
        "wire_bytes": round(link.wire_bytes(columns["bytes_per_frame"]), 1),
        "transfer_ms": round(transfer_ms, 3),
        "transfer_nominal_ms": round(link.nominal_ms(columns["bytes_per_frame"]), 3),
        "total_ms": round(columns["encode_ms"] + transfer_ms + server_ms, 3),
        "frames_per_s": round(1e3 / slowest_ms, 3),
    }


def _sum(row: dict[str, Any], *keys: str) -> float:
    return round(sum(row[key] or 0.0 for key in keys), 3)


def _print(result: dict[str, Any]) -> None:
    from frankensplit.benchmarks.printing import console, figure, print_table

    for link in result["links"]:
        size = f"{link['mtu_bytes']} bytes a datagram, {link['overhead_bytes']} of them headers"
        rows = (
            (
                row["codec"],
                figure(row["quality"]),
                figure(row["bytes_per_frame"] / 1e3),
                f"{row['loss_points']:.2f}" + ("" if row["reaches"] else "!"),
                *(figure(row[key]) for key in COLUMNS),
            )
            for row in result["rows"]
            if row["link"] == link["name"]
        )
        headings = ["codec", "q", "kB", "lost", *COLUMNS.values()]
        print_table(f"{link['name']}, {link['mbit_s']:g} Mbit/s, {size}; ms", headings, rows)
    console.print(
        "nominal: bytes over rate, the paper's transfer; link counts headers and whole datagrams too"
    )
    console.print(
        f"!: no setting loses at most {result['at_loss_points']:g} points of {result['head']}; its best is shown"
    )
    for codec, reason in result["not_measured"].items():
        console.print(f"{codec} not measured: {reason}")
