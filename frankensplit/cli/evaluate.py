# SPDX-License-Identifier: Apache-2.0
"""``frankensplit evaluate BUNDLE --data SET:SPLIT``: accuracy against bytes, for us and for rivals."""

from __future__ import annotations

import argparse
from typing import Any

from frankensplit.cli.common import add_data_root, add_device, add_json, positive_int, write_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("bundle", help="folder or installed name of a bundle")
    parser.add_argument(
        "--data",
        required=True,
        metavar="SET:SPLIT",
        help="labelled shards: SET:SPLIT, DIR:SPLIT or street:val",
    )
    parser.add_argument(
        "--rival", action="append", default=[], metavar="NAME", help="rival codec, may be repeated: jpeg"
    )
    parser.add_argument("--frames", type=positive_int, help="stop after this many frames")
    parser.add_argument("--threads", type=positive_int, default=2, help="CPU threads (default: %(default)s)")
    parser.add_argument(
        "--write-card", action="store_true", help="write the figures into the bundle's card.md"
    )
    add_data_root(parser)
    add_device(parser)
    add_json(parser)


def main(args: argparse.Namespace) -> int:
    """Evaluate, print a table, write JSON and card."""
    from frankensplit.bundle import Bundle
    from frankensplit.data.scenes import read_scenes
    from frankensplit.errors import DataError
    from frankensplit.evaluation.card import write_figures
    from frankensplit.evaluation.evaluate import Evaluation
    from frankensplit.evaluation.provenance import provenance
    from frankensplit.progress import track

    bundle = Bundle.open(args.bundle)
    evaluation = Evaluation(bundle, args.rival, args.device, args.threads)
    scenes = list(read_scenes(args.data, args.data_root))[: args.frames]
    if not scenes:
        raise DataError(f"{args.data} has no frames")
    for scene in track(scenes, "evaluate", len(scenes)):
        evaluation.add(scene)
    result = evaluation.result(args.data) | provenance()
    _print(result)
    write_json(result, args.json)
    if args.write_card:
        write_figures(bundle.path, result)
    return 0


def _print(result: dict[str, Any]) -> None:
    """Print one table a head to standard error, so that ``--json -`` stays clean."""
    from rich.console import Console
    from rich.table import Table

    console = Console(stderr=True)
    for name, head in result["heads"].items():
        table = Table(title=f"{name}: {head['metric']} of the unmodified backbone {head['unmodified']:.2f}")
        for column in ("codec", "quality", "bytes a frame", "bpp", head["metric"], "points lost"):
            table.add_column(column, justify="left" if column == "codec" else "right")
        for row in head["rows"]:
            figures = (f"{row['bytes_per_frame']:.0f}", f"{row['bpp']:.3f}", f"{row['value']:.2f}")
            table.add_row(row["codec"], str(row["quality"]), *figures, f"{row['loss_points']:.2f}")
        console.print(table)
        for rival, payload_bytes in head["bytes_at_our_loss"].items():
            needs = f"{payload_bytes:.0f} bytes" if payload_bytes else "more than its sweep reaches"
            console.print(f"for our loss, {rival} needs {needs}\n")
