# SPDX-License-Identifier: Apache-2.0
"""``frankensplit adapt BUNDLE --data SPEC``: fit a bundle to the frames of a new site, which need no labels.

With ``--encoder`` the codec is fitted too.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frankensplit.arguments import (
    add_data_root,
    add_device,
    add_json,
    add_runs,
    positive_int,
    write_json,
)
from frankensplit.errors import FrankensplitError

if TYPE_CHECKING:
    from rich.console import Console

    from frankensplit.bundle import Bundle
    from frankensplit.training.adapt import Adapted
    from frankensplit.training.data.site import Site
    from frankensplit.training.own_codec import OwnCodec

STEPS, BATCH = 300, 4
ENCODER_STEPS, ENCODER_LR, RATE = 2000, 5e-4, 0.1
OTHER = "street:val"
OTHER_FRAMES = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.description = (
        "Train the blueprint of a bundle, or a small adapter behind it, to restore the unmodified backbone's features "
        "from the packets of new frames; the frames need no labels. Encoder, tables, backbone and heads stay as they "
        "are, to the byte: robots keep their codec, and old packets decode. The last fifth of the frames is kept "
        "apart; on it the bundle is measured before and after by agreement with its unmodified backbone. Where it "
        "got worse (a larger error of the features, or a head that agrees less by more than the choice of frames "
        "explains, 95 %) nothing is written and the exit code is 1. An interrupted adaptation goes on when called "
        "again. With --encoder, encoder and tables are trained too: a codec for this camera alone, with another codec "
        "id, so that robot and server change over together."
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
        "--encoder",
        action="store_true",
        help="train encoder, densities and blueprint on, with all quality levels, and measure each of them",
    )
    parser.add_argument(
        "--rate",
        type=_positive,
        metavar="X",
        help=f"with --encoder: weight of the bits a pixel; more: fewer bytes, more lost (default: {RATE:g})",
    )
    parser.add_argument(
        "--other",
        metavar="SPEC",
        help="with --encoder: frames that the codec is not made for, of which the first "
        f"{OTHER_FRAMES} are measured too (default: {OTHER})",
    )
    parser.add_argument(
        "--steps",
        type=positive_int,
        metavar="N",
        help=f"(default: {STEPS}, with --encoder {ENCODER_STEPS})",
    )
    parser.add_argument(
        "--batch", type=positive_int, default=BATCH, metavar="N", help="crops a step (default: %(default)s)"
    )
    parser.add_argument(
        "--lr",
        type=_positive,
        metavar="X",
        help=f"learning rate (default: 2e-4, of an adapter 2e-3, with --encoder {ENCODER_LR:g})",
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
    from frankensplit.training.adapt import check_out
    from frankensplit.training.data.site import Site, SiteSpec

    _require_fitting(args)
    bundle = Bundle.open(args.bundle)
    out = args.out or Path(f"{bundle.name}-adapted")
    check_out(bundle, out)
    site = Site(SiteSpec(args.data, args.topic, args.every, args.frames), args.data_root)
    adapted = _own_codec(args, bundle, site, out.name) if args.encoder else _adapted(args, bundle, site)
    worse = adapted.worse
    written = not worse or args.keep_anyway
    if written:
        adapted.write(out)
    result = adapted.figures() | {"out": str(out) if written else None} | provenance()
    (_print_levels if args.encoder else _print)(result)
    if worse:
        print(f"worse on the frames that were kept apart: {', '.join(worse)}", file=sys.stderr)
    print(f"written: {out}" if written else "nothing written; --keep-anyway would", file=sys.stderr)
    write_json(result, args.json)
    return 1 if worse else 0


def _require_fitting(args: argparse.Namespace) -> None:
    """Refuse options that do not belong together."""
    if args.encoder and args.adapter:
        raise FrankensplitError("--adapter and --encoder exclude each other: give one")
    for option in ("rate", "other"):
        if getattr(args, option) is not None and not args.encoder:
            raise FrankensplitError(f"--{option} has an effect with --encoder only: give both")


def _adapted(args: argparse.Namespace, bundle: Bundle, site: Site) -> Adapted:
    from frankensplit.training.adapt import AdapterSettings, adapt
    from frankensplit.training.where import Where

    settings = AdapterSettings(args.adapter, args.steps or STEPS, args.batch, args.lr, args.seed)
    return adapt(bundle, site, settings, Where(args.runs, args.data_root, args.device))


def _own_codec(args: argparse.Namespace, bundle: Bundle, site: Site, name: str) -> OwnCodec:
    from frankensplit.data.frames import open_frames
    from frankensplit.training.own_codec import CodecSettings, own_codec
    from frankensplit.training.where import Where

    other = open_frames(args.other or OTHER, args.data_root, limit=OTHER_FRAMES)
    settings = CodecSettings(
        args.rate or RATE, args.steps or ENCODER_STEPS, args.batch, args.lr or ENCODER_LR, args.seed
    )
    return own_codec(bundle, name, site, other, settings, Where(args.runs, args.data_root, args.device))


def _positive(text: str) -> float:
    """Parse a number above 0."""
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


def _console(result: dict[str, Any]) -> Console:
    """Return standard error, so that ``--json -`` stays clean; what was skipped is said there."""
    from rich.console import Console

    console = Console(stderr=True, markup=False, emoji=False)
    for key, cause in result["skipped"].items():
        console.print(f"skipped {key}: {cause}", highlight=False, markup=False)
    return console


def _print(result: dict[str, Any]) -> None:
    """Print the table of an adaptation."""
    from rich.table import Table

    console = _console(result)
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


def _print_levels(result: dict[str, Any]) -> None:
    """Print each level of both codecs on each set, and what equal agreement takes."""
    from rich.table import Table

    console, heads = _console(result), result["metrics"]
    for data in dict.fromkeys(row["data"] for row in result["rows"]):
        rows = [row for row in result["rows"] if row["data"] == data]
        last = "the last " if data == result["data"] else "which it is not made for, "
        table = Table(title=f"{result['bundle']} on {data}, {last}{rows[0]['frames']} frames")
        for column in ("codec", "level", "bytes", "error", *(f"{n}: {m}" for n, m in heads.items())):
            table.add_column(column, justify="left" if column == "codec" else "right")
        for row in rows:
            values = [f"{row['heads'][head]:.2f}" for head in heads]
            size, error = f"{row['bytes_per_frame']:.0f}", f"{row['distortion']:.4f}"
            table.add_row(row["codec"], str(row["level"]), size, error, *values)
        console.print(table)
    for one in result["bytes_at_equal_agreement"]:
        after = "not reached" if one["after"] is None else f"{one['after']:.0f} bytes"
        console.print(
            f"{one['data']}, {one['head']} at {one['agreement']:.2f}: {one['before']:.0f} bytes before, {after} after",
            highlight=False,
        )
    console.print(
        "Heads are measured by agreement with the unmodified backbone, 100 at most. "
        f"Trained on {result['trained_on_frames']} frames in {result['seconds']:.0f} s. The codec id went from "
        f"{result['codec_id_before']} to {result['codec_id_after']}: give robot and server the new bundle together.",
        highlight=False,
    )


def _row(table: Any, name: str, before: float, after: float, digits: int, interval: str = "") -> None:
    change = f"{after - before:+.{digits}f}"
    table.add_row(name, f"{before:.{digits}f}", f"{after:.{digits}f}", change, interval)
