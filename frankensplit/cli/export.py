# SPDX-License-Identifier: Apache-2.0
"""``frankensplit export``: a bundle from finished training runs, or a bundle's encoder in other precisions."""

from __future__ import annotations

import argparse
from pathlib import Path

from frankensplit.arguments import (
    NOMINAL,
    WEIGHTS_LICENCE,
    add_data_root,
    add_json,
    add_runs,
    image_size,
    write_json,
)
from frankensplit.cli import export_tensorrt


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "run",
        help="name of a codec's or a head's run, what it builds on is named in its recipe; with --calibrate or "
        "--tensorrt a bundle",
    )
    parser.add_argument("out", type=Path, nargs="?", help="folder of the bundle; replaced if it exists")
    parser.add_argument("--name", help="name of the bundle (default: the folder's)")
    parser.add_argument(
        "--nominal",
        type=image_size,
        default=NOMINAL,
        metavar="WxH",
        help="box that images are scaled to fit (480x360); of a head it is the bundle's",
    )
    parser.add_argument("--licence", default=WEIGHTS_LICENCE, help="licence of the weights, for the card")
    parser.add_argument(
        "--calibrate",
        metavar="SPEC",
        help="write the encoder of a bundle in fp16 and int8, calibrated on these training frames, such as "
        "camvid:train, into OUT or into the bundle itself",
    )
    add_data_root(parser)
    add_runs(parser)
    add_json(parser)
    export_tensorrt.add_arguments(parser)
    parser.set_defaults(refuse=parser.error)


def main(args: argparse.Namespace) -> int:
    """Export and say which tables were kept."""
    if args.tensorrt:
        return export_tensorrt.main(args)
    if args.calibrate:
        return _calibrate(args)
    if args.out is None:
        args.refuse("OUT, the folder of the bundle, is missing")
    from frankensplit.bundle import Bundle
    from frankensplit.training.export.bundle import export_run

    figures = export_run(
        args.runs / args.run,
        args.out,
        args.name or args.out.name,
        args.nominal,
        args.data_root,
        args.licence,
    )
    bundle = Bundle.open(args.out)
    print(
        f"exported {bundle.name} with codec {bundle.codec.id_hex} and heads {', '.join(bundle.server['heads'])}"
    )
    if figures:
        print(f"bytes a held-out frame: {figures}")
    write_json({"bundle": bundle.name, "codec": bundle.codec.id_hex, **figures}, args.json)
    return 0


def _calibrate(args: argparse.Namespace) -> int:
    from frankensplit.bundle import Bundle
    from frankensplit.training.export.precisions import differences, export_precisions

    bundle = Bundle.open(args.run)
    figures = export_precisions(bundle, args.out or bundle.path, args.calibrate, args.data_root)
    for name, one in figures.items():
        print(f"{name}: {differences(one)}")
    write_json({"bundle": bundle.name, "codec": bundle.codec.id_hex, "precisions": figures}, args.json)
    return 0
