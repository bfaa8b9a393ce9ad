# SPDX-License-Identifier: Apache-2.0
"""``frankensplit saliency {make,show} BUNDLE --data SPEC``: fill the cache of saliency maps, or draw some."""

from __future__ import annotations

import argparse
import re
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frankensplit.arguments import add_data_root, add_device, add_json, positive_int, write_json
from frankensplit.places import CACHE, cache_folder

if TYPE_CHECKING:
    from frankensplit.data.frames import Frames
    from frankensplit.training.saliency.cache import SaliencyCache
    from frankensplit.training.saliency.model import SaliencyModel

SALIENCY = CACHE / "saliency"
SHOWN = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="{make,show}")
    make = actions.add_parser("make", help="compute the maps of all frames; those that are there are kept")
    show = actions.add_parser("show", help="draw frames with the map of each head and the mean as a PNG")
    for action in (make, show):
        action.add_argument(
            "bundle", help="folder or installed name of a bundle, or folder of a backbone run"
        )
        action.add_argument(
            "--data",
            required=True,
            metavar="SPEC",
            help="SET:SPLIT, DIR:SPLIT (shards), street:val, a folder of pictures, a folder of class folders, a "
            "video, or a rosbag",
        )
        action.add_argument("--topic", help="image topic of a rosbag that has several")
        action.add_argument(
            "--cache",
            type=Path,
            default=SALIENCY,
            metavar="DIR",
            help="folder of the maps (default: %(default)s)",
        )
        add_data_root(action)
        add_device(action)
        add_json(action)
    make.add_argument("--frames", type=positive_int, help="the first so many frames only (default: all)")
    make.add_argument(
        "--batch", type=positive_int, default=1, help="frames computed together (default: %(default)s)"
    )
    show.add_argument(
        "--frames",
        type=positive_int,
        default=SHOWN,
        help="so many, spread over the data (default: %(default)s)",
    )
    show.add_argument(
        "--out", type=Path, default=Path(), metavar="DIR", help="folder of the picture (default: here)"
    )


def main(args: argparse.Namespace) -> int:
    """Make or show."""
    from frankensplit.training.saliency.cache import SaliencyCache
    from frankensplit.training.saliency.model import open_model
    from frankensplit.writing import check_file

    making = args.action == "make"
    if making:
        check_file(args.cache / "map.npz")
    model = open_model(args.bundle, args.device)
    frames = _open_frames(args, model)
    with nullcontext(args.cache) if making else cache_folder(args.cache) as folder:
        cache = SaliencyCache.open(model, folder)
        result = _make(args, cache, frames) if making else _show(args, cache, frames)
    write_json(result, args.json)
    return 0


def _open_frames(args: argparse.Namespace, model: SaliencyModel) -> Frames:
    """Open the data; true classes are those of the head whose classes exclude one another."""
    from frankensplit.data.frames import open_frames

    exclusive = (head.labels for head in model.heads.values() if head.labels.get("exclusive"))
    return open_frames(
        args.data,
        args.data_root,
        label_classes=next((labels.get("classes") for labels in exclusive), None),
        topic=args.topic,
        limit=args.frames if args.action == "make" else None,
    )


def _make(args: argparse.Namespace, cache: SaliencyCache, frames: Frames) -> dict[str, Any]:
    import sys
    import time

    started = time.perf_counter()
    filled = cache.fill(((frame.rgb, frame.label) for frame in frames), len(frames), args.batch)
    seconds = time.perf_counter() - started
    for name, cause in frames.skipped.items():
        print(f"skipped {name}: {cause}", file=sys.stderr)
    print(
        f"{filled.made} maps made, {filled.found} were there, in {cache.folder} ({seconds:.0f} s)",
        file=sys.stderr,
    )
    return {
        "model": cache.model.name,
        "key": cache.model.key,
        "folder": str(cache.folder),
        "heads": list(cache.model.heads),
        "data": args.data,
        "made": filled.made,
        "found": filled.found,
        "skipped": frames.skipped,
        "seconds": round(seconds, 3),
    }


def _show(args: argparse.Namespace, cache: SaliencyCache, frames: Frames) -> dict[str, Any]:
    import sys

    import cv2

    from frankensplit.training.saliency.sheet import MapsOfFrame, draw_sheet
    from frankensplit.writing import check_file, write_file

    name = re.sub(r"[^\w.-]+", "-", f"saliency-{cache.model.name}-{Path(args.data).name}")
    path = args.out / f"{name}.png"
    check_file(path)
    count = len(frames)
    looks = []
    for index in sorted({(2 * i + 1) * count // (2 * args.frames) for i in range(args.frames)}):
        for frame in frames.select(index, index + 1):
            extent = cache.model.map_extent(*frame.rgb.shape[:2])
            looks.append(MapsOfFrame(frame.key, frame.rgb, cache.head_maps(frame.rgb, frame.label), extent))
    title = f"Where {cache.model.name} looks: {args.data}"
    sheet = draw_sheet(title, list(cache.model.heads), looks)
    write_file(path, cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1].tobytes())
    print(f"drawn: {path}", file=sys.stderr)
    return {"picture": str(path), "frames": [look.name for look in looks], "heads": list(cache.model.heads)}
