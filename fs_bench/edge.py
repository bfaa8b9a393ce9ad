# SPDX-License-Identifier: Apache-2.0
"""``frankensplit bench edge``: what a frame costs the robot on one CPU core, held to what picture codecs cost there.

A row is a camera, an encoder and a precision. Everything takes turns, frame by frame, on one thread. Ratios are those
of medians of *processor* time: on a machine that does other work too a call is interrupted, which the wall clock counts
and the processor's does not; milliseconds are the processor's too. Ratios of the least times, and of wall time, are
beside them. Picture codecs get the frame already scaled to 480x360, our path starts with the camera's message; other
sizes are resampled.

Memory, start and idling are those of the real edge node behind a camera, over DDS, where ROS is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frankensplit.arguments import add_data_root, add_json, positive_int, write_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from frankensplit.benchmarks.edge_path import CameraFormat, CameraPicture, Summary
    from frankensplit.bundle import Codec
    from frankensplit.edge.encoder import FrameEncoder

BUNDLES = ("street", "street-nano")
DATA = "street:val"
PICTURES = {"webp_q80": ("webp", 80), "png": ("png", None), "jpeg_q90": ("jpeg", 90)}
CAMERAS = ("480x360:rgb8", "640x480:bgr8", "640x480:jpeg")
NODE_CAMERA = "640x480:rgb8"  # camera of the node that is watched
NEEDED = ("rclpy", "fs_msgs", "fs_bench")
NODE_FIGURES = (
    "rss_mb",
    "pss_mb",
    "first_packet_s",
    "first_packet_cpu_s",
    "busy_cpu_percent",
    "idle_cpu_percent",
    "wake_frames",
    "target_kbps",
    "held_kbps",
    "budget_off_percent",
)
NOTES = (
    "Entropy coding is the same for every precision and camera: its speed-up is measured once for each bundle.",
    f"A node is watched once for each bundle and precision, behind a camera of {NODE_CAMERA} at 30 Hz; its figures "
    "stand in every row of the two.",
)
ROW_NOTES = {
    "fp16": "emulated: on most CPUs ONNX Runtime computes in float32 and converts around it; fp16 is for GPUs",
    "int8": "the integer graph for CPUs (encoder.int8-cpu.onnx), not the one for TensorRT",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-verb's arguments."""
    parser.add_argument(
        "bundle", nargs="*", default=list(BUNDLES), help=f"folders or names (default: {' '.join(BUNDLES)})"
    )
    parser.add_argument("--data", default=DATA, metavar="SPEC", help="frames (default: %(default)s)")
    parser.add_argument("--frames", type=positive_int, default=10, help="how many (default: %(default)s)")
    parser.add_argument(
        "--repeats", type=positive_int, default=4, help="rounds over the frames (default: %(default)s)"
    )
    parser.add_argument(
        "--camera",
        action="append",
        type=_camera,
        metavar="WIDTHxHEIGHT:ENCODING",
        help=f"rgb8, bgr8 or jpeg, may be repeated (default: {' '.join(CAMERAS)})",
    )
    parser.add_argument("--no-node", action="store_true", help="do not run the edge node")
    parser.add_argument(
        "--idle-seconds",
        type=float,
        default=10.0,
        metavar="S",
        help="how long a node is watched while nobody subscribes (default: %(default)g)",
    )
    add_data_root(parser)
    add_json(parser)


def main(args: argparse.Namespace) -> int:
    """Measure, print tables, write JSON."""
    result = measure(args)
    _print(result)
    write_json(result, args.json)
    return 0


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Return rows and aims as JSON values.

    Raises:
        DataError: frames cannot be read.
        BundleError: a bundle cannot be opened.
    """
    import cv2

    from frankensplit.benchmarks.edge_aims import judge
    from frankensplit.benchmarks.frames import read_frames
    from frankensplit.evaluation.provenance import provenance

    cv2.setNumThreads(1)
    bench = _Bench(args.bundle, read_frames(args.data, args.data_root, args.frames))
    rows = bench.time(args.camera or [_camera(text) for text in CAMERAS], args.repeats)
    bench.add_coding(rows, args.repeats)
    bench.add_nodes(rows, None if args.no_node else args.idle_seconds)
    return {
        "kind": "bench edge",
        "data": args.data,
        "frames": len(bench.frames),
        "repeats": args.repeats,
        "threads": 1,
        **provenance(),
        "notes": list(NOTES),
        "not_measured": bench.missing,
        "aims": judge(rows),
        "rows": rows,
    }


class _Bench:
    """Opened codecs and encoders, and frames."""

    def __init__(self, bundles: Sequence[str], pictures: list[NDArray[np.uint8]]) -> None:
        from frankensplit.benchmarks.edge_path import CameraPicture
        from frankensplit.bundle import PRECISIONS, Codec
        from frankensplit.edge.encoder import FrameEncoder

        self.codecs: dict[str, Codec] = {name: Codec.open(name) for name in bundles}
        self.frames: list[CameraPicture] = [CameraPicture(rgb) for rgb in pictures]
        self.missing: dict[str, str] = {}
        self.encoders: dict[tuple[str, str], FrameEncoder] = {}
        for name, codec in self.codecs.items():
            for precision in PRECISIONS:
                if precision in codec.precisions:
                    self.encoders[name, precision] = FrameEncoder(codec, precision=precision)
                else:
                    self.missing[f"{name} {precision}"] = "the bundle has no encoder in it"

    def time(self, cameras: Sequence[CameraFormat], repeats: int) -> list[dict[str, Any]]:
        """Return a row for each camera, bundle and precision."""
        from frankensplit.benchmarks.edge_path import MeasuredPath, PictureCoding, RobotPath, Summary
        from frankensplit.benchmarks.edge_pipelining import pipelining_gain
        from frankensplit.benchmarks.interleave import interleave
        from frankensplit.progress import track

        geometry = next(iter(self.codecs.values())).geometry
        pictures = {name: PictureCoding(*setting, geometry) for name, setting in PICTURES.items()}
        keys = [(camera, *key) for camera in cameras for key in self.encoders]
        paths = [RobotPath(self.encoders[bundle, precision], camera) for camera, bundle, precision in keys]
        subjects: list[MeasuredPath] = [*paths, *pictures.values()]
        samples = interleave(
            subjects,
            self.frames,
            lambda subject, frame: subject.measure(frame),
            repeats=repeats,
            what="time the robot's path",
        )
        taken = [Summary.of(one) for one in samples]
        of_pictures = dict(zip(pictures, taken[len(paths) :], strict=True))
        gains = [
            pipelining_gain(path, self.frames, repeats)
            for path in track(paths, "time two threads", len(paths))
        ]
        return [
            self._row(*key, ours, of_pictures, gain)
            for key, ours, gain in zip(keys, taken[: len(paths)], gains, strict=True)
        ]

    def add_coding(self, rows: list[dict[str, Any]], repeats: int) -> None:
        """Fill in how much faster entropy coding is than CompressAI's."""
        from frankensplit.benchmarks.coding_speed import coding_speedup
        from frankensplit.errors import RuntimeUnavailable

        for name, codec in self.codecs.items():
            encoder = self.encoders[name, "fp32"]
            latents = [codec.unpack(encoder.encode(frame.rgb).data)[0] for frame in self.frames]
            try:
                speedup = coding_speedup(latents, codec.tables, repeats)
            except RuntimeUnavailable as err:
                self.missing[f"{name} coding_speedup"] = str(err)
                continue
            for row in _of(rows, bundle=name):
                row["coding_speedup"] = speedup

    def add_nodes(self, rows: list[dict[str, Any]], idle_s: float | None) -> None:
        """Fill in what the real node takes; ``idle_s`` None leaves it out."""
        reason = "--no-node" if idle_s is None else _without_ros()
        if reason or idle_s is None:
            self.missing["node"] = str(reason)
            return
        from frankensplit.progress import track
        from fs_common.processes import ProcessError

        for name, precision in track(list(self.encoders), "watch the edge node", len(self.encoders)):
            try:
                seen = self._watch(name, precision, idle_s)
            except (ProcessError, ValueError) as err:  # ValueError: the node does not take this precision
                self.missing[f"{name} {precision} node"] = str(err)
                continue
            for row in _of(rows, bundle=name, precision=precision):
                row.update(seen)

    def _watch(self, bundle: str, precision: str, idle_s: float) -> dict[str, float]:
        import numpy as np

        from fs_bench.edge_watch import Watch, watch_edge

        camera = _camera(NODE_CAMERA)
        shown = np.stack([camera.to_rgb(frame.seen_by(camera)) for frame in self.frames])
        with tempfile.TemporaryDirectory(prefix="frankensplit-") as folder:
            watch = Watch(shown, idle_s=idle_s)
            return asdict(watch_edge(self.codecs[bundle].path, precision, watch, Path(folder)))

    def _row(
        self,
        camera: CameraFormat,
        bundle: str,
        precision: str,
        ours: Summary,
        pictures: dict[str, Summary],
        pipelining_gain: float,
    ) -> dict[str, Any]:
        return {
            "size": camera.size,
            "input": camera.encoding,
            "bundle": bundle,
            "encoder": self.codecs[bundle].manifest["encoder"],
            "precision": precision,
            "frame_to_packet_ms": round(ours.cpu_ms, 3),
            "frame_to_packet_wall_ms": round(ours.wall_ms, 3),
            "stages_ms": {name: round(taken, 3) for name, taken in ours.stages_ms.items()},
            **{f"over_{name}": round(ours.cpu_ms / one.cpu_ms, 3) for name, one in pictures.items()},
            **{f"over_{name}_best": round(ours.best_ms / one.best_ms, 3) for name, one in pictures.items()},
            **{f"over_{name}_wall": round(ours.wall_ms / one.wall_ms, 3) for name, one in pictures.items()},
            "pictures_ms": {name: round(one.cpu_ms, 3) for name, one in pictures.items()},
            "entropy_share": round(ours.share("entropy"), 4),
            "convert_and_scale_share": round(ours.share("convert", "scale"), 4),
            "pipelining_gain": round(pipelining_gain, 3),
            "coding_speedup": None,
            "note": ROW_NOTES.get(precision, ""),
            **dict.fromkeys(NODE_FIGURES),
        }


def summary_markdown(result: dict[str, Any]) -> str:
    """Return a table of the rows, one of the nodes, and one of the aims."""
    lines = [
        f"`{result['command']}`, one thread of {result['machine']['processor']}; medians of processor time.",
        "",
        f"| camera | encoder | {' | '.join(heading.replace(chr(10), ' ') for heading in COLUMNS.values())} |",
        f"|---|---|{'---|' * len(COLUMNS)}",
    ]
    for row in result["rows"]:
        cells = " | ".join(_cell(row, key) for key in COLUMNS)
        lines.append(f"| {row['size']} {row['input']} | {row['encoder']} {row['precision']} | {cells} |")
    lines += [
        "",
        f"| node of | {' | '.join(NODE_COLUMNS.values())} |",
        f"|---|{'---|' * len(NODE_COLUMNS)}",
    ]
    lines += [f"| {name} | {' | '.join(cells)} |" for name, cells in _node_lines(result["rows"])]
    lines += ["", "| aim | at most or at least | measured | |", "|---|---|---|---|"]
    for aim in result["aims"]:
        measured = "" if aim["measured"] is None else f"{aim['measured']:.3g}"
        lines.append(f"| {aim['aim']} | {_limit(aim)} | {measured} | {VERDICTS[aim['met']]} |")
    return "\n".join(lines) + "\n"


COLUMNS = {
    "frame_to_packet_ms": "ms",
    "convert": "convert",
    "scale": "scale",
    "network": "network",
    "entropy": "entropy",
    "over_webp_q80": "/ WebP\nq80",
    "over_png": "/ PNG",
    "over_jpeg_q90": "/ JPEG\nq90",
    "pipelining_gain": "two\nthreads",
}
NODE_COLUMNS = {
    "rss_mb": "RSS MB",
    "first_packet_s": "first packet s",
    "busy_cpu_percent": "busy CPU %",
    "idle_cpu_percent": "idle CPU %",
    "wake_frames": "wake frames",
    "budget_off_percent": "budget off %",
}
VERDICTS = {True: "met", False: "missed", None: "not measured"}


def _cell(row: dict[str, Any], key: str) -> str:
    from frankensplit.benchmarks.printing import figure

    return figure(row["stages_ms"].get(key, row.get(key)))


def _node_lines(rows: list[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Return the figures of each node once, of whatever camera its rows are."""
    seen = {f"{row['encoder']} {row['precision']}": row for row in rows}
    return [(name, [_cell(row, key) for key in NODE_COLUMNS]) for name, row in seen.items()]


def _print(result: dict[str, Any]) -> None:
    from frankensplit.benchmarks.printing import console, print_table

    rows = (
        (
            f"{row['size']} {row['input']}, {row['encoder']} {row['precision']}",
            *(_cell(row, key) for key in COLUMNS),
        )
        for row in result["rows"]
    )
    print_table("frame to packet, ms of processor time", ["", *COLUMNS.values()], rows)
    nodes = ((name, *cells) for name, cells in _node_lines(result["rows"]))
    print_table("edge node", ["", *NODE_COLUMNS.values()], nodes)
    print_table("aims", ["", "limit", "measured", ""], map(_aim_cells, result["aims"]))
    for name, reason in result["not_measured"].items():
        console.print(f"{name} not measured: {reason}", markup=False)


def _aim_cells(aim: dict[str, Any]) -> tuple[str, ...]:
    from frankensplit.benchmarks.printing import figure

    return aim["aim"], _limit(aim), figure(aim["measured"]), VERDICTS[aim["met"]]


def _limit(aim: dict[str, Any]) -> str:
    return f"{'<=' if aim['at_most'] else '>='} {aim['limit']:g}"


def _of(rows: list[dict[str, Any]], **values: str) -> list[dict[str, Any]]:
    return [row for row in rows if all(row[key] == value for key, value in values.items())]


def _camera(text: str) -> CameraFormat:
    from frankensplit.benchmarks.edge_path import CameraFormat

    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*):(rgb8|bgr8|jpeg)", text)
    if found is None:
        raise argparse.ArgumentTypeError(
            f"camera {text!r}: expected WIDTHxHEIGHT:ENCODING such as {CAMERAS[0]}"
        )
    return CameraFormat(int(found[2]), int(found[1]), found[3])


def _without_ros() -> str | None:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    return f"needs {', '.join(missing)}: run `make setup` in the repository" if missing else None
