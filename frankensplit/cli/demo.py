# SPDX-License-Identifier: Apache-2.0
"""``frankensplit demo``: camera, edge and server as processes, with a live table, a video and a contact sheet."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from frankensplit.arguments import add_json, positive_int, write_json
from frankensplit.errors import RuntimeUnavailable
from frankensplit.needs import brought_by, missing

DEFAULT_SECONDS = 20.0
MOST_NAMED = 10  # frames that could not be read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "--source",
        default="street",
        metavar="SPEC",
        help="street[:SEED] (synthetic, with truth), SET:SPLIT, a folder of pictures, a video, a camera's index, "
        "a .tar shard, or a rosbag (default: %(default)s)",
    )
    parser.add_argument("--topic", default="", help="image topic of a rosbag that has several")
    parser.add_argument(
        "--bundle",
        help="folder or name of a bundle (default: street on the synthetic street, everyday on all else)",
    )
    parser.add_argument("--frames", type=positive_int, default=0, help="stop after this many frames")
    parser.add_argument(
        "--seconds",
        type=_positive,
        help=f"stop after this long (default: {DEFAULT_SECONDS:g} for endless sources, unless --frames is given)",
    )
    parser.add_argument(
        "--fps", type=_positive, default=0.0, help="frames a second (default: the source's own, or 10)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("demo-output"),
        metavar="DIR",
        help="video, sheet, logs (default: %(default)s)",
    )
    parser.add_argument(
        "--record", type=Path, metavar="DIR", help="write a rosbag2 (mcap) to this new folder"
    )
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="of the server (default: %(default)s)"
    )
    add_json(parser)


def main(args: argparse.Namespace) -> int:
    """Run the demo and say what came out; 1 when nothing was predicted or not by the server."""
    _require_packages()
    from frankensplit.data.sources import is_camera
    from fs_demo.session import DemoOptions, run_demo

    drawn = args.source.partition(":")[0] == "street"
    endless = drawn or is_camera(args.source)
    seconds = args.seconds or (DEFAULT_SECONDS if endless and not args.frames else 0.0)
    options = DemoOptions(
        source=args.source,
        bundle=args.bundle or ("street" if drawn else "everyday"),
        out=args.out,
        topic=args.topic,
        rate_hz=args.fps,
        frames=args.frames,
        seconds=seconds,
        record=args.record,
        device=args.device,
    )
    summary = run_demo(options)
    print(report(summary, args.out, args.record), file=sys.stderr)
    write_json(summary, args.json)
    return 0 if summary["frames"]["predicted"] else 1


def report(summary: dict[str, Any], out: Path, record: Path | None) -> str:
    """Return the summary as text."""
    frames, sizes, pids = summary["frames"], summary["bytes_per_frame"], summary["processes"]
    lines = [
        f"bundle {summary['bundle']}, codec {summary['codec']}, source {summary['source']}",
        f"{frames['camera']} frames from the camera (pid {pids['camera']}), {frames['encoded']} packets from the edge "
        f"(pid {pids['edge']}), {frames['predicted']} frames predicted by the server (pid {pids['server']})",
        f"not encoded {frames['not_encoded']} (the edge was busy with another), lost {frames['lost']}, "
        f"dropped by the server {frames['dropped']}, rejected {frames['rejected']}, unreadable {frames['skipped']}",
    ]
    lines += [f"note: {note}" for note in summary.get("notes", ())]
    skipped = summary.get("skipped", ())
    lines += [f"unreadable {one['name']}: {one['cause']}" for one in skipped[:MOST_NAMED]]
    lines += [f"unreadable are {len(skipped) - MOST_NAMED} more"] * (len(skipped) > MOST_NAMED)
    if frames["predicted"]:
        ratios = [f"{sizes[name] / sizes['packet']:.1f} times less than {name}" for name in _known(sizes)]
        lines.append(f"{sizes['packet']:.0f} bytes a frame: {', '.join(ratios)}")
        lines += [_stage(stage, row) for stage, row in summary["latency_ms"].items()]
        lines += [_head(name, head) for name, head in summary["heads"].items() if head["frames"]]
        lines += [f"{what.replace('_', ' ')}: {out / file}" for what, file in summary["files"].items()]
    lines += [f"recording: {record}"] if record else []
    return "\n".join(lines)


def _known(sizes: dict[str, float | None]) -> list[str]:
    return [name for name in ("raw", "png", "jpeg_q90") if sizes[name] is not None]


def _stage(stage: str, row: dict[str, float | None]) -> str:
    p50, p95 = (f"{row[key]:7.1f}" if row[key] is not None else "      -" for key in ("p50", "p95"))
    return f"  {stage:<26} p50 {p50} ms   p95 {p95} ms"


def _head(name: str, head: dict[str, Any]) -> str:
    return f"  {name:<26} {head['metric']} {head['value']:.1f} over {head['frames']} frames with truth"


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and below a million")
    return value


def _require_packages() -> None:
    if absent := missing("demo"):
        raise RuntimeUnavailable(
            f"the demo needs {', '.join(absent)}: {brought_by('demo', absent)}; or run `make setup` in the repository; "
            "`frankensplit evaluate` measures a bundle without ROS"
        )
