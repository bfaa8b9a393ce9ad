# SPDX-License-Identifier: Apache-2.0
"""``frankensplit evaluate BUNDLE --data SET:SPLIT``: accuracy against bytes, for us and for rivals."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

from frankensplit.arguments import EVALUATIONS, add_data_root, add_device, add_json, positive_int, write_json
from frankensplit.bundle import PRECISIONS
from frankensplit.places import cache_folder

if TYPE_CHECKING:
    from rich.table import Table

AGREEMENT = ", agreement with what the unmodified backbone finds (100: the same)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("bundle", help="folder or installed name of a bundle")
    parser.add_argument(
        "--data",
        required=True,
        metavar="SPEC",
        help="SET:SPLIT, DIR:SPLIT (shards), street:val, a folder of pictures with masks, a folder of class "
        "folders, a video, or a rosbag; data without truth are measured by agreement with the unmodified backbone",
    )
    parser.add_argument(
        "--rival",
        action="append",
        default=[],
        metavar="NAME[:QUALITY,..]",
        help="rival codec, may be repeated, at these qualities or over its sweep; all for every one",
    )
    parser.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="weights of a learned rival: a file, a folder, or hub",
    )
    parser.add_argument(
        "--precision",
        default="fp32",
        choices=PRECISIONS,
        help="of the robot's network; the bundle must have it (default: %(default)s)",
    )
    parser.add_argument(
        "--agreement",
        action="store_true",
        help="measure all heads by agreement with the unmodified backbone, also where the data have truth, such as of "
        "other classes",
    )
    parser.add_argument("--topic", help="image topic of a rosbag that has several")
    parser.add_argument("--frames", type=positive_int, help="the first so many frames only")
    parser.add_argument(
        "--workers", type=positive_int, help="processes (default: one a core, or one for a GPU)"
    )
    parser.add_argument(
        "--fresh", action="store_true", help=f"forget what was measured before (kept in {EVALUATIONS})"
    )
    parser.add_argument(
        "--write-card", action="store_true", help="write the figures into the bundle's card.md"
    )
    add_data_root(parser)
    add_device(parser)
    add_json(parser)


def main(args: argparse.Namespace) -> int:
    """Evaluate, print a table, write JSON and card."""
    import shutil

    from frankensplit.bundle import BUNDLE, Bundle, find_bundle
    from frankensplit.evaluation.card import write_figures
    from frankensplit.evaluation.evaluate import evaluate
    from frankensplit.evaluation.measure import Setup, parts_folder
    from frankensplit.evaluation.provenance import provenance
    from frankensplit.writing import check_replaceable

    path = find_bundle(args.bundle)
    if args.write_card:
        check_replaceable(path, BUNDLE)
    on_cpu = args.device == "cpu"
    cores = len(os.sched_getaffinity(0))
    workers = args.workers or (cores if on_cpu else 1)
    setup = Setup(
        bundle=str(path),
        data=args.data,
        data_root=args.data_root,
        topic=args.topic,
        limit=args.frames,
        device=args.device,
        precision=args.precision,
        threads=max(1, cores // workers),
        weights=_weights(args.weights),
        agreement=args.agreement,
    )
    if args.fresh:
        shutil.rmtree(parts_folder(setup, EVALUATIONS), ignore_errors=True)
    with cache_folder(EVALUATIONS) as folder:
        result = evaluate(setup, args.rival, folder, workers) | provenance()
    _print(result)
    write_json(result, args.json)
    if args.write_card:
        write_figures(Bundle.open(path), result)
    return 0


def _weights(arguments: list[str]) -> dict[str, str]:
    from frankensplit.errors import DataError

    pairs = [argument.partition("=") for argument in arguments]
    for (name, _, path), argument in zip(pairs, arguments, strict=True):
        if not name or not path:
            raise DataError(f"--weights {argument}: expected NAME=PATH or NAME=hub, such as fp=weights/")
    return {name: path for name, _, path in pairs}


def _print(result: dict[str, Any]) -> None:
    """Print one table a head to standard error, so that ``--json -`` stays clean."""
    from rich.console import Console

    console = Console(stderr=True, markup=False, emoji=False, highlight=False)
    console.print(
        f"bundle {result['bundle']}, codec {result['codec_id']}; {result['data']}, {result['frames']} frames"
    )
    for note in result["notes"]:
        console.print(f"note: {note}")
    for key, cause in result["skipped"].items():
        console.print(f"skipped {key}: {cause}")
    for name, head in result["heads"].items():
        of_labels = head["truth"] == "labels"
        if not head["unmodified"] > 0:
            why = "labels have" if of_labels else "unmodified backbone finds"
            console.print(
                f"\n{name}: {head['metric']} says nothing here, for the {why} nothing that it could count"
            )
            continue
        console.print(f"\n{name}: {head['metric']}{'' if of_labels else AGREEMENT}")
        console.print(f"the unmodified backbone has {head['unmodified']:.2f}")
        console.print(_table(head))
        for rival, payload_bytes in head["bytes_at_our_loss"].items():
            needs = f"{payload_bytes:.0f} bytes" if payload_bytes else "more than its sweep reaches"
            console.print(f"{rival} needs {needs} to lose as little as ours")
    for name, cause in result["not_measured"].items():
        console.print(f"not measured: {name}: {cause}")


def _table(head: dict[str, Any]) -> Table:
    """Return a table that shows names whole in 80 columns."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("codec", "quality", "bytes\na frame", "bpp", head["metric"], "points\nlost", "95 %"):
        table.add_column(column, justify="left" if column == "codec" else "right", no_wrap=True)
    for row in head["rows"]:
        figures = (f"{row['bytes_per_frame']:.0f}", f"{row['bpp']:.3f}", f"{row['value']:.2f}")
        interval = "{:.2f} to {:.2f}".format(*row["ci95"])
        quality = "" if row["quality"] is None else str(row["quality"])
        table.add_row(row["codec"], quality, *figures, f"{row['loss_points']:.2f}", interval)
    return table
