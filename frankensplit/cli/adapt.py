# SPDX-License-Identifier: Apache-2.0
"""``frankensplit adapt BUNDLE --data SPEC``: fit a bundle to the frames of a new site, which need no labels."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from frankensplit.cli.common import (
    add_data_root,
    add_device,
    add_json,
    add_runs,
    positive_int,
    write_json,
)

STEPS, BATCH = 300, 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.description = (
        "Train the blueprint of a bundle, or a small adapter behind it, to restore the unmodified backbone's features "
        "from the packets of new frames; the frames need no labels. Encoder, tables, backbone and heads stay as they "
        "are, to the byte: robots keep their codec, and old packets decode. The last fifth of the frames is kept "
        "apart; on it the bundle is measured before and after by agreement with its unmodified backbone. Where it "
        "got worse (a larger error of the features, or a head that agrees less by more than the choice of frames "
        "explains, 95 %) nothing is written and the exit code is 1. An interrupted adaptation goes on when called "
        "again."
    )
    parser.add_argument("bundle", help="folder or installed name of the bundle; it stays as it is")
    parser.add_argument(
        "--data",
        required=True,
        metavar="SPEC",
        help="frames of the site, in the order in which they were taken: a folder of pictures, a video, a rosbag, "
        "SET:SPLIT, DIR:SPLIT (shards) or street:SPLIT; at least 5",
    )
    parser.add_argument("--topic", help="image topic of a rosbag that has several")
    parser.add_argument(
        "--every", type=positive_int, default=1, metavar="N", help="take each N-th frame (default: all)"
    )
    parser.add_argument(
        "--frames", type=positive_int, metavar="N", help="of these the first so many (default: all)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of the new bundle, and its name; another bundle there is replaced (default: BUNDLE-adapted, here)",
    )
    parser.add_argument(
        "--adapter",
        type=positive_int,
        metavar="WIDTH",
        help="leave the blueprint, too, as it is, and train a residual network of so many channels behind it, such as "
        "16: little to go wrong on few frames (default: the whole blueprint, or the adapter that the bundle has)",
    )
    parser.add_argument(
        "--steps", type=positive_int, default=STEPS, metavar="N", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--batch", type=positive_int, default=BATCH, metavar="N", help="crops a step (default: %(default)s)"
    )
    parser.add_argument(
        "--lr", type=_rate, metavar="X", help="learning rate (default: 2e-4, of an adapter 2e-3)"
    )
    parser.add_argument(
        "--seed", type=_seed, default=0, metavar="N", help="of all random draws (default: %(default)s)"
    )
    parser.add_argument(
        "--keep-anyway",
        action="store_true",
        help="write the bundle even where it got worse; the exit code stays 1",
    )
    add_data_root(parser)
    add_runs(parser)
    add_device(parser)
    add_json(parser)


def main(args: argparse.Namespace) -> int:
    """Adapt, print figures, write the bundle if it got better."""
    import sys

    from frankensplit.bundle import Bundle
    from frankensplit.evaluation.provenance import provenance
    from frankensplit.training.adapt import Settings, adapt, check_out
    from frankensplit.training.site import Site, Spec
    from frankensplit.training.where import Where

    bundle = Bundle.open(args.bundle)
    out = args.out or Path(f"{bundle.name}-adapted")
    check_out(bundle, out)
    site = Site(Spec(args.data, args.topic, args.every, args.frames), args.data_root)
    settings = Settings(args.adapter, args.steps, args.batch, args.lr, args.seed)
    adapted = adapt(bundle, site, settings, Where(args.runs, args.data_root, args.device))
    worse = adapted.worse
    written = not worse or args.keep_anyway
    if written:
        adapted.write(out)
    result = adapted.figures() | {"out": str(out) if written else None} | provenance()
    _print(result)
    if worse:
        print(f"worse on the frames that were kept apart: {', '.join(worse)}", file=sys.stderr)
    print(f"written: {out}" if written else "nothing written; --keep-anyway would", file=sys.stderr)
    write_json(result, args.json)
    return 1 if worse else 0


def _rate(text: str) -> float:
    """Parse a learning rate."""
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _seed(text: str) -> int:
    """Parse a seed."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value


def _print(result: dict[str, Any]) -> None:
    """Print what was skipped and the table to standard error, so that ``--json -`` stays clean."""
    from rich.console import Console
    from rich.table import Table

    console = Console(stderr=True, markup=False, emoji=False)
    for key, cause in result["skipped"].items():
        console.print(f"skipped {key}: {cause}", highlight=False, markup=False)
    title = f"{result['bundle']} on the last {result['held_out_frames']} frames of {result['data']}"
    table = Table(title=title)
    for column in ("", "before", "after", "change", "95 %"):
        table.add_column(column, justify="right" if column else "left")
    before, after = result["before"], result["after"]
    _row(table, "error of the features", before["distortion"], after["distortion"], 4)
    for head, metric in result["metrics"].items():
        interval = "{:+.2f} to {:+.2f}".format(*result["gain_ci95"][head])
        _row(table, f"{head}: {metric}", before["heads"][head], after["heads"][head], 2, interval)
    _row(table, "bytes a frame", before["bytes_per_frame"], after["bytes_per_frame"], 0)
    console.print(table)
    console.print(
        "Heads are measured by agreement with the unmodified backbone, 100 at most. "
        f"{result['trained_parameters']:,} parameters were trained on {result['trained_on_frames']} frames in "
        f"{result['seconds']:.0f} s.",
        highlight=False,
    )


def _row(table: Any, name: str, before: float, after: float, digits: int, interval: str = "") -> None:
    change = f"{after - before:+.{digits}f}"
    table.add_row(name, f"{before:.{digits}f}", f"{after:.{digits}f}", change, interval)
