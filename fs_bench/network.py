# SPDX-License-Identifier: Apache-2.0
"""``frankensplit bench network``: the real nodes over a link of limited rate that loses packets.

A robot and a server are two network namespaces, joined by a link that is made for the run. Raw images, pictures of
rival codecs, and the edge node's packets cross it by DDS, best effort; what the server's side predicts is measured
frame by frame. Needs root; says why and ends well where it cannot run.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frankensplit.arguments import add_data_root, add_device, add_json, write_json
from frankensplit.errors import DataError
from frankensplit.evaluation import OURS, RAW
from frankensplit.writing import write_file

if TYPE_CHECKING:
    from frankensplit.benchmarks.namespaces import LossyLink
    from frankensplit.bundle import Bundle
    from frankensplit.data.frames import Frames
    from frankensplit.evaluation.metrics import HeadMetric
    from frankensplit.progress import ProgressMeter
    from frankensplit.results import Result
    from fs_bench.session import RoundOutcome, SessionSetup

STREAMS = ("raw", "jpeg:60", "h264-intra:28", "h264-gop10:28", "h264-p:28", "frankensplit")
LOSSES = (0.0, 1.0, 5.0, 10.0, 20.0)
GOODPUT_S = 2.0
COLUMNS = {
    "loss_percent": "% lost",
    "bytes_per_frame": "bytes",
    "wire_bytes_per_frame": "on wire",
    "sent_fps": "sent/s",
    "delivered_fps": "predicted/s",
    "age_p50_ms": "age p50",
    "age_p95_ms": "age p95",
    "value_held": "held",
    "value_delivered": "delivered",
}
NOTES = (
    "Everything is sent best effort: nothing lost is sent again, and no decoder asks for a key frame.",
    "A packet is lost after it has taken its time on the link, each IP fragment by itself.",
    "Bytes on the wire are all that the robot's end sent, DDS discovery and headers included.",
    "The age of the newest prediction is looked at all the time; held is the newest one when the next frame is due.",
)
NEEDED = ("rclpy", "fs_msgs", "fs_bench", "torch")


@dataclass(frozen=True)
class CodecStream:
    """What is sent: ``raw``, ``frankensplit``, or a rival of pictures at a quality."""

    codec: str
    quality: int | None

    def __str__(self) -> str:
        """Return ``NAME`` or ``NAME:QUALITY``."""
        return f"{self.codec}:{self.quality}" if self.quality else self.codec


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-verb's arguments."""
    parser.add_argument("bundle", help="folder or installed name of a bundle")
    parser.add_argument(
        "--data",
        default="street:500",
        metavar="SPEC",
        help="frames in order, as frankensplit evaluate takes them, or a drive street:SEED (default: %(default)s); "
        "without masks, agreement with the unmodified backbone counts",
    )
    parser.add_argument(
        "--stream",
        action="append",
        metavar="NAME[:QUALITY]",
        help=f"what to send, may be repeated: raw, frankensplit, a rival of pictures (default: {', '.join(STREAMS)})",
    )
    parser.add_argument(
        "--rate", type=_positive, default=4.0, metavar="HZ", help="frames a second (%(default)g)"
    )
    parser.add_argument(
        "--seconds", type=_positive, default=20.0, help="for each stream and loss (default: %(default)g)"
    )
    parser.add_argument(
        "--loss",
        type=_percent,
        nargs="+",
        default=list(LOSSES),
        metavar="PERCENT",
        help=f"IP packets lost in each direction (default: {' '.join(f'{one:g}' for one in LOSSES)})",
    )
    parser.add_argument(
        "--mbit", type=_positive, default=12.0, help="rate of the link in Mbit/s (default: %(default)g, 4G)"
    )
    parser.add_argument(
        "--delay-ms", type=_positive, default=0.0, help="delay of each direction; needs netem in the kernel"
    )
    parser.add_argument(
        "--save-profile",
        type=Path,
        metavar="YAML",
        help="write the link as measured, for frankensplit bench link --profile",
    )
    add_data_root(parser)
    add_device(parser)
    add_json(parser)


def main(args: argparse.Namespace) -> int:
    """Run every stream at every loss; print a table, write JSON."""
    from frankensplit.benchmarks.namespaces import why_not

    reason = _without_ros() or why_not(args.delay_ms)
    if reason:
        print(f"skipped: {reason}", file=sys.stderr)
        nothing = {"kind": "bench network", "bundle": args.bundle, "data": args.data, "skipped": reason}
        write_json({**nothing, "link": {"mbit_s": args.mbit, "goodput_mbit_s": None}, "rows": []}, args.json)
        return 0
    result = measure(args)
    _print(result)
    write_json(result, args.json)
    return 1 if result["not_measured"] else 0


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of every stream at every loss, as JSON values.

    Raises:
        DataError: bundle, data or streams are not as they must be.
        LinkError: the link cannot be made, or data went another way.
    """
    from frankensplit.bundle import Bundle
    from frankensplit.evaluation.provenance import provenance

    bundle = Bundle.open(args.bundle)
    streams = [parse_stream(text) for text in args.stream or STREAMS]
    with tempfile.TemporaryDirectory(prefix="frankensplit-") as folder:
        scene = NetworkScene(bundle, args, Path(folder))
        link, rows, missing = _play_all(args, streams, scene)
    return {
        "kind": "bench network",
        "bundle": bundle.name,
        "data": args.data,
        "frames": len(scene.truths),
        "recorded_hz": scene.recorded_hz,
        "rate_hz": args.rate,
        "skipped": None,
        **provenance(),
        "link": link,
        "head": scene.setup.head,
        "metric": scene.metric.name,
        "truth": scene.truth_name,
        "unmodified": round(scene.unmodified, 3),
        "notes": [*NOTES, *_pace(scene.recorded_hz, args.rate)],
        "not_measured": missing,
        "rows": rows,
    }


class NetworkScene:
    """Frames that the camera shows, their truth, and what the unmodified backbone makes of them."""

    def __init__(self, bundle: Bundle, args: argparse.Namespace, folder: Path) -> None:
        from frankensplit.evaluation.metrics import metric_for
        from frankensplit.inference.predictor import Predictor
        from fs_bench.session import SessionSetup

        predictor = Predictor(bundle, args.device)
        head = next((one.name for one in predictor.heads.values() if one.kind == "mask"), None)
        if head is None:
            raise DataError(f"bundle {bundle.name} has no head of masks, whose predictions this measures")
        labels, count = bundle.labels[head], max(1, round(args.seconds * args.rate))
        frames = _open(args, labels, count)
        shown = list(frames)
        pictures = _of_one_size([frame.rgb for frame in shown], args.data)
        unmodified = [predictor.predict_image(rgb, [head]).results[head] for rgb in pictures]
        self.truths = _truths(head, labels, [frame.mask for frame in shown], unmodified)
        self.truth_name = "unmodified backbone" if self.truths is unmodified else "labels"
        self.recorded_hz = frames.rate_hz or args.rate
        self.metric: HeadMetric = metric_for("mask", labels)
        pairs = [(unmodified[at % len(shown)], self.truths[at % len(shown)]) for at in range(count)]
        self.unmodified = self.metric.value([self.metric.frame(*pair) for pair in pairs])
        self.setup: SessionSetup = SessionSetup(
            bundle, head, np.stack(pictures), args.rate, self.recorded_hz, count, args.device, folder
        )

    def row(self, stream: CodecStream, outcome: RoundOutcome) -> dict[str, Any]:
        """Return the figures of one stream at one loss."""
        from frankensplit.benchmarks.held import HeldPrediction, Play, figures
        from frankensplit.results import MaskResult

        def score(place: int, at: int) -> Any:
            predicted = MaskResult(outcome.predictions[at].mask())
            return self.metric.frame(predicted, self.truths[place % len(self.truths)])

        play = Play(outcome.start_ns, self.setup.period_ns, self.setup.count)
        arrivals = [HeldPrediction(one.stamp_ns, one.done_ns) for one in outcome.predictions]
        sizes, seconds = list(outcome.sent.values()), play.count * play.period_ns / 1e9
        return {
            "codec": stream.codec,
            "quality": stream.quality,
            "loss_percent": outcome.loss_percent,
            "camera_frames": play.count,
            "sent": len(sizes),
            "sent_fps": round(len(sizes) / seconds, 3),
            "bytes_per_frame": round(sum(sizes) / len(sizes), 1) if sizes else None,
            "wire_bytes_per_frame": round(outcome.wire_bytes / len(sizes), 1) if sizes else None,
            **figures(play, arrivals, score, self.metric.value),
        }


def _play_all(
    args: argparse.Namespace, streams: list[CodecStream], scene: NetworkScene
) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, str]]:
    """Return what the link is, the rows, and why a stream has not all of its own."""
    from frankensplit.benchmarks.namespaces import LossyLink
    from frankensplit.progress import ProgressMeter

    rows: list[dict[str, Any]] = []
    with LossyLink(args.mbit, args.delay_ms) as link:
        described = _described(link)
        if args.save_profile:
            _save_profile(args.save_profile, link, described["goodput_mbit_s"])
        with ProgressMeter("bench network", len(streams) * len(args.loss)) as meter:
            failures = {
                str(stream): _play_one(link, scene, stream, args.loss, rows, meter) for stream in streams
            }
    return described, rows, {name: cause for name, cause in failures.items() if cause}


def _play_one(
    link: LossyLink,
    scene: NetworkScene,
    stream: CodecStream,
    losses: list[float],
    rows: list[dict[str, Any]],
    meter: ProgressMeter,
) -> str | None:
    """Add the rows of one stream; return why some are missing, None when all are there."""
    from fs_bench.session import play
    from fs_common.processes import ProcessError

    try:
        for outcome in play(link, scene.setup, stream.codec, stream.quality, losses):
            rows.append(scene.row(stream, outcome))
            meter.advance(f"{stream} at {outcome.loss_percent:g} % loss")
    except ProcessError as err:
        return str(err)
    return None


def _described(link: LossyLink) -> dict[str, Any]:
    from frankensplit.benchmarks.namespaces import FRAGMENT_MEMORY_BYTES, FRAGMENT_TIME_S, MTU_BYTES

    return {
        "mbit_s": link.mbit_s,
        "goodput_mbit_s": round(link.goodput_mbit_s(GOODPUT_S), 3),
        "delay_ms": link.delay_ms,
        "mtu_bytes": MTU_BYTES,
        "loss_by": link.loss_by,
        "ip_fragments": {"time_s": FRAGMENT_TIME_S, "memory_bytes": FRAGMENT_MEMORY_BYTES},
    }


def _save_profile(path: Path, link: LossyLink, goodput_mbit_s: float) -> None:
    """Write the link's rate as IP packets see it, with the headers that each of ours has at that level."""
    import yaml

    from frankensplit.benchmarks.links import RTPS_BYTES
    from frankensplit.benchmarks.namespaces import IP_UDP_BYTES, MTU_BYTES

    profile = {
        "name": f"namespaces at {link.mbit_s:g} Mbit/s",
        "mbit_s": round(goodput_mbit_s * MTU_BYTES / (MTU_BYTES - IP_UDP_BYTES), 3),
        "mtu_bytes": MTU_BYTES,
        "overhead_bytes": RTPS_BYTES,
    }
    write_file(path, yaml.safe_dump(profile, sort_keys=False))


def _open(args: argparse.Namespace, labels: dict[str, Any], count: int) -> Frames:
    from frankensplit.data.frames import open_frames

    return open_frames(args.data, args.data_root, labels["classes"], ignore=labels["ignore"], limit=count)


def _pace(recorded_hz: float, rate_hz: float) -> list[str]:
    if recorded_hz <= rate_hz:
        return []
    return [
        f"Frames of {recorded_hz:g} Hz are shown at {rate_hz:g} Hz: things move {recorded_hz / rate_hz:.1f} times "
        "slower than they did, so that predictions stay good for longer. Video codecs are told the former rate."
    ]


def _of_one_size(pictures: list[Any], data: str) -> list[Any]:
    sizes = sorted({picture.shape[:2] for picture in pictures})
    if len(sizes) > 1:
        raise DataError(
            f"{data} has frames of {len(sizes)} sizes, {sizes[0]} and {sizes[1]}: a camera has one"
        )
    return pictures


def _truths(head: str, labels: dict[str, Any], masks: list[Any], unmodified: list[Result]) -> list[Result]:
    """Return the truth of each frame; where a frame has none, the unmodified backbone's predictions for all."""
    from frankensplit.data.truth import Truth
    from frankensplit.models.heads import head_class

    kind = head_class(head, labels)
    if any(mask is None for mask in masks) or "mask" not in kind.learns_from(labels):
        return unmodified
    return [kind.truth(Truth(mask), labels) for mask in masks]


def parse_stream(text: str) -> CodecStream:
    """Read ``NAME`` or ``NAME:QUALITY``; a rival without quality is sent at the middle of its sweep.

    Raises:
        DataError: there is no such codec of pictures.
        RuntimeUnavailable: a wheel is missing.
    """
    from frankensplit.evaluation.rivals import Options, load_rival

    codec, _, quality = text.partition(":")
    if codec in (RAW, OURS):
        return CodecStream(codec, None if codec == RAW else 0)
    rival = load_rival(codec)
    if rival.signal != "image":
        raise DataError(f"{codec} codes {rival.signal}, expected a codec of pictures: leave it out")
    try:
        stream = CodecStream(codec, int(quality) if quality else rival.qualities[len(rival.qualities) // 2])
    except ValueError as err:
        raise DataError(f"stream {text!r}: expected NAME or NAME:QUALITY, such as jpeg:60") from err
    rival.open_coder(stream.quality, Options())
    return stream


def _without_ros() -> str | None:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    return f"needs {', '.join(missing)}: run `make setup` in the repository" if missing else None


def _print(result: dict[str, Any]) -> None:
    from frankensplit.benchmarks.printing import console, figure, print_table

    rows = (
        (str(CodecStream(row["codec"], row["quality"])), *(figure(row[key]) for key in COLUMNS))
        for row in result["rows"]
    )
    link, metric = result["link"], result["metric"]
    title = (
        f"{link['mbit_s']:g} Mbit/s, {result['rate_hz']:g} Hz; {metric} of the unmodified backbone "
        f"{result['unmodified']:.2f}; held: the newest prediction when the next frame is due; ms"
    )
    print_table(title, ["stream", *COLUMNS.values()], rows)
    for name, reason in result["not_measured"].items():
        console.print(f"{name} not measured: {reason}", markup=False)


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and below a million")
    return value


def _percent(text: str) -> float:
    value = float(text)
    if not 0 <= value < 100:
        raise argparse.ArgumentTypeError(f"{text} is not 0 to less than 100")
    return value
