# SPDX-License-Identifier: Apache-2.0
"""``frankensplit export BUNDLE --tensorrt``: build the encoder's TensorRT engines on this machine, for this machine."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frankensplit.arguments import image_size, write_json

if TYPE_CHECKING:
    from frankensplit.bundle import Codec
    from frankensplit.edge.tensorrt.ahead import Built, Told
    from frankensplit.edge.tensorrt.profile import Profile
    from frankensplit.progress import ProgressMeter

DONE, NOT_KEPT = 0, 1
PERCENT = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``--tensorrt`` needs to the verb's arguments."""
    group = parser.add_argument_group("engines of TensorRT")
    group.add_argument(
        "--tensorrt",
        action="store_true",
        help="build the engines of a bundle's or codec's encoder on this machine, for this machine",
    )
    group.add_argument(
        "--precision",
        action="append",
        metavar="NAME",
        help="of the encoder, as the edge node is told; may be repeated (default: all that the bundle has)",
    )
    group.add_argument(
        "--size",
        action="append",
        type=image_size,
        metavar="WxH",
        help="largest frame that the network is given, rounded up to multiples of 32; may be repeated "
        "(default: the bundle's nominal size)",
    )
    group.add_argument(
        "--fixed", action="store_true", help="engines for frames of just that size, not of all up to it"
    )
    group.add_argument(
        "--engines", type=Path, metavar="DIR", help="folder of engines (default: in the user's cache)"
    )


def main(args: argparse.Namespace) -> int:
    """Build what is missing and say where it lies; 1 if an engine could not be kept."""
    from frankensplit.bundle import Codec
    from frankensplit.edge.tensorrt.ahead import build_engines
    from frankensplit.edge.tensorrt.engine_cache import EngineCache, engines_folder

    codec = Codec.open(args.run)
    precisions = list(dict.fromkeys(args.precision or codec.precisions))
    profiles = _profiles(codec, args.size, args.fixed)
    cache = EngineCache(engines_folder(args.engines))
    with _meter(len(precisions) * len(profiles)) as meter:
        engines = build_engines(codec, precisions, profiles, cache, _teller(meter))
    for one in engines:
        print(_line(one))
    write_json({"codec": codec.id_hex, "engines": [_figures(one) for one in engines]}, args.json)
    return DONE if all(one.kept for one in engines) else NOT_KEPT


def _profiles(codec: Codec, sizes: list[tuple[int, int]] | None, fixed: bool) -> list[Profile]:
    from frankensplit.edge.tensorrt.profile import Profile
    from frankensplit.geometry import MULTIPLE

    chosen = sizes or [codec.largest]
    rounded = [tuple(-(-side // MULTIPLE) * MULTIPLE for side in size) for size in chosen]
    return [Profile(height, width, fixed) for height, width in dict.fromkeys(rounded)]


def _meter(engines: int) -> ProgressMeter:
    from frankensplit.progress import ProgressMeter

    return ProgressMeter("engines", engines * PERCENT)


def _teller(meter: ProgressMeter) -> Told:
    """Turn the progress of one engine after another into one count of percents."""
    seen: list[str] = []

    def told(engine: str, doing: str, fraction: float) -> None:
        if engine not in seen:
            seen.append(engine)
        percents = (len(seen) - 1 + fraction) * PERCENT
        meter.advance(f"{engine} {doing}", max(0, int(percents) - meter.done))

    return told


def _line(one: Built) -> str:
    state = "built" if one.fresh else "was there"
    place = one.path if one.kept else "NOT KEPT: its folder cannot be written"
    return f"{one.precision} {one.profile}  {state}, checked by {one.checked_by}, {one.size / 2**20:.1f} MiB  {place}"


def _figures(one: Built) -> dict[str, Any]:
    return {
        "precision": one.precision,
        "size": str(one.profile),
        "path": str(one.path),
        "fresh": one.fresh,
        "kept": one.kept,
        "bytes": one.size,
        "checked_by": one.checked_by,
    }
