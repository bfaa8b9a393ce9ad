# SPDX-License-Identifier: Apache-2.0
"""``frankensplit bench components``: the paper's Table 6 on this machine, for every codec, with entropy coding.

Times are medians over frames; the codecs take turns frame by frame. ``encode_ms`` holds the scaling of the camera's
frame, ``tail_ms`` of a picture codec is the whole backbone. What a codec does not tell apart is null. Learned codecs
without weights are timed with random ones and say so; their bytes would mean nothing. For codecs with P-frames give
``--data`` in order: the synthetic street jumps.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from frankensplit.arguments import add_data_root, add_device, add_json, positive_int, write_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from frankensplit.benchmarks.codecs import Subject
    from frankensplit.benchmarks.energy import EnergyMeter
    from frankensplit.benchmarks.server import Server
    from frankensplit.benchmarks.settings import RatedSetting
    from frankensplit.bundle import Bundle
    from frankensplit.geometry import Geometry

DATA = "street:val"
ENERGY_S = 1.5  # a counter ticks every millisecond, tegrastats every 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-verb's arguments."""
    from frankensplit.benchmarks.settings import add_choice

    add_measurement(parser)
    parser.add_argument(
        "--rival",
        action="append",
        default=[],
        metavar="NAME[:QUALITY,..]",
        help="may be repeated (default: every rival)",
    )
    parser.add_argument(
        "--results",
        type=Path,
        metavar="JSON",
        help="of frankensplit evaluate: time the settings that it shows to be good enough, not the middle ones",
    )
    add_choice(parser)
    add_json(parser)


def add_measurement(parser: argparse.ArgumentParser) -> None:
    """Add what decides how components are measured."""
    parser.add_argument("bundle", nargs="?", default="street", help="folder or name (default: %(default)s)")
    parser.add_argument("--data", default=DATA, metavar="SPEC", help="frames (default: %(default)s)")
    parser.add_argument("--frames", type=positive_int, default=10, help="how many (default: %(default)s)")
    parser.add_argument(
        "--repeats", type=positive_int, default=3, help="rounds over the frames (default: %(default)s)"
    )
    parser.add_argument(
        "--threads", type=positive_int, default=1, help="CPU threads of each codec (default: %(default)s)"
    )
    add_data_root(parser)
    add_device(parser)


def main(args: argparse.Namespace) -> int:
    """Measure, print a table, write JSON."""
    from frankensplit.benchmarks.settings import choose, read_results, settings_of

    chosen = choose(read_results(args.results), args.head, args.at_loss) if args.results else {}
    result = measure(args, settings_of(args.rival or ["all"], chosen))
    _print(result)
    write_json(result, args.json)
    return 0


def measure(
    args: argparse.Namespace, settings: Sequence[RatedSetting], *, extras: bool = True
) -> dict[str, Any]:
    """Measure codecs as the arguments of :func:`add_measurement` say; JSON values.

    Args:
        args: the parsed arguments.
        settings: the codecs, each at one quality.
        extras: also memory and energy.

    Raises:
        DataError: frames cannot be read.
        BundleError: the bundle cannot be opened.
    """
    from frankensplit.benchmarks.frames import read_frames
    from frankensplit.bundle import Bundle
    from frankensplit.evaluation.provenance import provenance

    bundle = Bundle.open(args.bundle)
    frames = read_frames(args.data, args.data_root, args.frames)
    bench = _open(bundle, frames, settings, args)
    rows = bench.time(args.repeats)
    energy = "not measured"
    if extras:
        energy = bench.add_energy(rows)
        bench.add_memory(rows)
    parameters, macs = bench.server.backbone_cost(bench.geometry)
    return {
        "bundle": bundle.name,
        "data": args.data,
        "frames": len(frames),
        "repeats": args.repeats,
        "threads": args.threads,
        "device": args.device,
        "height": bench.geometry.scaled_height,
        "width": bench.geometry.scaled_width,
        **provenance(),
        "energy": energy,
        "backbone": {"parameters": parameters, "macs": macs},
        "not_measured": bench.missing,
        "rows": rows,
    }


@dataclass
class _Bench:
    """Opened codecs, their frames and the server."""

    bundle: Bundle
    frames: list[NDArray[np.uint8]]
    subjects: list[Subject]
    missing: dict[str, str]
    server: Server
    threads: int

    @property
    def geometry(self) -> Geometry:
        return self.bundle.codec.geometry(*self.frames[0].shape[:2])

    def time(self, repeats: int) -> list[dict[str, Any]]:
        """Return a row for each codec."""
        from frankensplit.benchmarks.interleave import interleave

        samples = interleave(
            self.subjects,
            self.frames,
            lambda subject, frame: subject.measure(frame, self.server),
            repeats=repeats,
            what="time components",
        )
        return [self._row(subject, taken) for subject, taken in zip(self.subjects, samples, strict=True)]

    def add_memory(self, rows: list[dict[str, Any]]) -> None:
        """Fill in the peak memory of the robot's part."""
        from frankensplit.benchmarks.memory import MemoryMeter
        from frankensplit.progress import track

        meter = MemoryMeter(self.frames, self.bundle.path, self.threads)
        for row in track(rows, "measure memory", len(rows)):
            peak_mb = meter.peak_mb(row["codec"], row["quality"])
            row["peak_memory_mb"] = None if peak_mb is None else round(peak_mb, 1)

    def add_energy(self, rows: list[dict[str, Any]]) -> str:
        """Fill in the energy of encoding a frame; return the meter's name, or why there is none."""
        from frankensplit.benchmarks.energy import open_meter

        meter = open_meter()
        if isinstance(meter, str):
            return meter
        for subject, row in zip(self.subjects, rows, strict=True):
            row["encode_joules"] = _joules(meter, subject, self.frames)
        return meter.name

    def _row(self, subject: Subject, samples: list[tuple[int, dict[str, float | None]]]) -> dict[str, Any]:
        from frankensplit.benchmarks.codecs import STAGES
        from frankensplit.benchmarks.interleave import middle

        cost = subject.cost(self.geometry, self.server)
        medians = {stage: middle([times[stage] for _, times in samples]) for stage in STAGES}
        return {
            "codec": subject.name,
            "quality": subject.quality,
            "weights": subject.weights,
            "measurements": len(samples),
            "bytes_per_frame": None if subject.weights else round(fmean(size for size, _ in samples), 1),
            "encoder_parameters": cost and cost.encoder_parameters,
            "decoder_parameters": cost and cost.decoder_parameters,
            "encoder_macs": cost and cost.encoder_macs,
            "decoder_macs": cost and cost.decoder_macs,
            **{stage: None if taken is None else round(taken, 3) for stage, taken in medians.items()},
            "total_ms": round(sum(taken for taken in medians.values() if taken is not None), 3),
            "peak_memory_mb": None,
            "encode_joules": None,
        }


def _open(
    bundle: Bundle,
    frames: list[NDArray[np.uint8]],
    settings: Sequence[RatedSetting],
    args: argparse.Namespace,
) -> _Bench:
    """Open what can be opened; note why the rest cannot."""
    import cv2

    from frankensplit.benchmarks.codecs import open_subject
    from frankensplit.benchmarks.server import Server
    from frankensplit.errors import RuntimeUnavailable
    from frankensplit.evaluation.rivals import Options

    cv2.setNumThreads(args.threads)
    server = Server(bundle, args.device, args.threads)
    options = Options(threads=args.threads)
    missing: dict[str, str] = {}

    def opened(setting: RatedSetting) -> Subject | None:
        try:
            return open_subject(bundle, setting.codec, setting.quality, options, lambda: server)
        except RuntimeUnavailable as err:
            missing[setting.codec] = str(err)
            return None

    subjects = [subject for setting in settings if (subject := opened(setting))]
    return _Bench(bundle, frames, subjects, missing, server, args.threads)


def _joules(meter: EnergyMeter, subject: Subject, frames: list[NDArray[np.uint8]]) -> float | None:
    import time

    encoded = 0

    def work() -> None:
        nonlocal encoded
        until = time.perf_counter() + ENERGY_S
        while encoded == 0 or time.perf_counter() < until:
            subject.encode(frames[encoded % len(frames)])
            encoded += 1

    joules = meter.joules(work)
    return None if joules is None else round(joules / encoded, 6)


TABLES = {
    "medians in ms": {
        "quality": "q",
        "bytes_per_frame": "kB",
        "encode_ms": "encode",
        "entropy_encode_ms": "entropy\ncode",
        "entropy_decode_ms": "entropy\ndecode",
        "decode_ms": "decode",
        "tail_ms": "tail",
        "heads_ms": "heads",
        "total_ms": "total",
    },
    "sizes": {
        "encoder_parameters": "encoder\nparameters",
        "encoder_macs": "\nM MACs",
        "decoder_parameters": "decoder\nparameters",
        "decoder_macs": "\nM MACs",
        "peak_memory_mb": "robot's\npeak MB",
        "encode_joules": "J a\nframe",
    },
}
SCALES = {"bytes_per_frame": 1e3, "encoder_macs": 1e6, "decoder_macs": 1e6}


def _print(result: dict[str, Any]) -> None:
    from frankensplit.benchmarks.printing import console, figure, print_table

    console.print(f"{result['threads']} thread(s) of {result['machine']['processor']}")
    for title, columns in TABLES.items():
        rows = ((_name(row), *(figure(_scaled(key, row[key])) for key in columns)) for row in result["rows"])
        print_table(title, ["codec", *columns.values()], rows)
    console.print(f"energy: {result['energy']}")
    for name, reason in result["not_measured"].items():
        console.print(f"{name} not measured: {reason}")


def _name(row: dict[str, Any]) -> str:
    return f"{row['codec']}, {row['weights']}" if row["weights"] else str(row["codec"])


def _scaled(key: str, value: float | None) -> float | None:
    return value if value is None else value / SCALES.get(key, 1)
