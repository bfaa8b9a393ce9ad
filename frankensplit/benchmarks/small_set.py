# SPDX-License-Identifier: Apache-2.0
"""The few figures of the standing check: bytes and losses on the synthetic street, and ratios of times of one run.

Lower is better for each. ``python -m frankensplit.benchmarks.small_set BUNDLE`` measures once and prints them as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from frankensplit.benchmarks.interleave import interleave, middle
from frankensplit.benchmarks.reference_rans import ReferenceRans
from frankensplit.benchmarks.server import Server
from frankensplit.bundle import Bundle, Codec
from frankensplit.codec import rans
from frankensplit.data.frames import LabelledFrame
from frankensplit.edge.encoder import FrameEncoder
from frankensplit.errors import RuntimeUnavailable
from frankensplit.evaluation import OURS
from frankensplit.evaluation.channel import open_channel
from frankensplit.evaluation.curves import bytes_at_loss
from frankensplit.evaluation.measure import Setup
from frankensplit.evaluation.metrics import Statistics, metric_for
from frankensplit.evaluation.rivals import Options, load_rival
from frankensplit.geometry import Geometry
from frankensplit.models.heads import head_class
from frankensplit.progress import track
from frankensplit.results import Result

DATA, FRAMES = "street:val", 16
HEAD = "segmentation"  # codecs are compared at equal loss of this head
RIVALS = {"jpeg": (20, 40, 60, 80, 90), "webp": (14, 35, 60, 80, 90)}
OPTIONS = Options(threads=1)
WEBP_QUALITY = 80
ENTROPY_CALLS = 10  # the best counts: caches and other processes disturb calls of a third of a millisecond
INT8 = "int8"
CAMERA = (480, 640)  # height and width; a frame of this size must be scaled
RATIOS = {
    "time_frame_to_packet_over_webp_80": ("frame to packet", "webp"),
    "time_frame_to_packet_int8_over_webp_80": ("frame to packet in int8", "webp"),
    "time_frame_to_packet_nano_int8_over_webp_80": ("frame to packet by nano in int8", "webp"),
    "time_scale_640x480_over_webp_80": ("scale 640x480", "webp"),
    "time_entropy_encode_over_compressai": ("entropy encode", "reference encode"),
    "time_entropy_decode_over_compressai": ("entropy decode", "reference decode"),
    "time_blueprint_over_shallow_layers": ("blueprint", "shallow layers"),
    "time_tail_over_backbone": ("tail", "backbone"),
}


def measure(bundle: Bundle, frames: int = FRAMES) -> dict[str, float]:
    """Return the figures by name; those that need something missing here are left out.

    Args:
        bundle: what is measured.
        frames: how many.
    """
    cv2.setNumThreads(1)
    setup = Setup(bundle=str(bundle.path), data=DATA, data_root=Path(), limit=frames)
    scenes = list(setup.open_frames(bundle))
    server, encoder = Server(bundle), FrameEncoder(bundle.codec)
    figures = rates(bundle, server, encoder, scenes) | ratios(bundle, server, encoder, scenes)
    return {name: round(value, 4) for name, value in figures.items()}


def rates(
    bundle: Bundle, server: Server, encoder: FrameEncoder, scenes: Sequence[LabelledFrame]
) -> dict[str, float]:
    """Return our bytes, our loss of each head, and our bytes over those that rivals need for our loss.

    The last is 0 for a rival that loses more at each of its qualities.
    """
    settings = [(OURS, 0), *((name, quality) for name, sweep in RIVALS.items() for quality in sweep)]
    rows = dict(zip(settings, _rows(bundle, server, encoder, scenes, settings), strict=True))
    ours = rows[OURS, 0]
    figures = {"bytes_per_frame": ours.bytes_per_frame}
    figures |= {f"loss_points_{head}": loss for head, loss in ours.losses.items()}
    for name, sweep in RIVALS.items():
        curve = [rows[name, quality].point(HEAD) for quality in sweep]
        needed = bytes_at_loss(curve, ours.losses[HEAD])
        figures[f"bytes_over_{name}_at_equal_loss"] = ours.bytes_per_frame / needed if needed else 0.0
    return figures


@dataclass(frozen=True)
class _Row:
    bytes_per_frame: float
    losses: dict[str, float]

    def point(self, head: str) -> dict[str, float]:
        return {"bytes_per_frame": self.bytes_per_frame, "loss_points": self.losses[head]}


def _rows(
    bundle: Bundle,
    server: Server,
    encoder: FrameEncoder,
    scenes: Sequence[LabelledFrame],
    settings: Sequence[tuple[str, int]],
) -> list[_Row]:
    """Return bytes and losses of each setting."""
    heads = {name: head_class(name, bundle.labels[name]) for name in bundle.server["heads"]}
    metrics = {name: metric_for(head.kind, bundle.labels[name]) for name, head in heads.items()}
    channels = [open_channel(*setting, OPTIONS, server.predictor, encoder) for setting in settings]
    unmodified: list[dict[str, Statistics]] = []
    coded: list[list[dict[str, Statistics]]] = [[] for _ in settings]
    sizes: list[list[int]] = [[] for _ in settings]

    def seen(results: dict[str, Result], truths: dict[str, Result]) -> dict[str, Statistics]:
        return {name: metric.frame(results[name], truths[name]) for name, metric in metrics.items()}

    def losses(kept: list[dict[str, Statistics]]) -> dict[str, float]:
        pairs = {name: ([f[name] for f in unmodified], [f[name] for f in kept]) for name in metrics}
        return {
            name: metrics[name].value(whole) - metrics[name].value(lost)
            for name, (whole, lost) in pairs.items()
        }

    for scene in track(scenes, "measure bytes and losses", len(scenes)):
        truths = {name: head.truth(scene.truth, bundle.labels[name]) for name, head in heads.items()}
        unmodified.append(seen(server.predictor.predict_image(scene.rgb).results, truths))
        for channel, kept, taken in zip(channels, coded, sizes, strict=True):
            arrival = channel.send(scene.rgb)
            taken.append(arrival.payload_bytes)
            kept.append(seen(arrival.results, truths))
    return [_Row(fmean(taken), losses(kept)) for taken, kept in zip(sizes, coded, strict=True)]


def ratios(
    bundle: Bundle, server: Server, encoder: FrameEncoder, scenes: Sequence[LabelledFrame]
) -> dict[str, float]:
    """Return ratios of times, medians over frames of steps that take turns."""
    steps = _steps(bundle, server, encoder)
    inputs = [_Input.of(bundle, encoder, scene.rgb) for scene in scenes]
    samples = interleave(
        list(steps.values()),
        inputs,
        lambda step, frame: step(frame),
        repeats=2,
        what="measure ratios of times",
    )
    medians = dict(zip(steps, (middle(taken) for taken in samples), strict=True))
    pairs = {name: (medians.get(ours), medians.get(other)) for name, (ours, other) in RATIOS.items()}
    return {name: ours / other for name, (ours, other) in pairs.items() if ours and other}


@dataclass(frozen=True)
class _Input:
    """What the steps work on, all of one frame."""

    rgb: NDArray[np.uint8]
    large: NDArray[np.uint8]
    geometry: Geometry
    prepared: NDArray[np.uint8]
    scaled: NDArray[np.uint8]
    symbols: NDArray[np.int32]

    @classmethod
    def of(cls, bundle: Bundle, encoder: FrameEncoder, rgb: NDArray[np.uint8]) -> _Input:
        geometry = bundle.codec.geometry(*rgb.shape[:2])
        prepared = geometry.prepare(rgb)
        scaled = np.ascontiguousarray(prepared[: geometry.scaled_height, : geometry.scaled_width])
        symbols, _ = bundle.codec.unpack(encoder.encode(rgb).data)
        large = cv2.resize(rgb, CAMERA[::-1], interpolation=cv2.INTER_CUBIC)
        return cls(rgb, np.asarray(large, np.uint8), geometry, prepared, scaled, symbols)


Step = Callable[[_Input], float]


def _steps(bundle: Bundle, server: Server, encoder: FrameEncoder) -> dict[str, Step]:
    """Return the timed steps: each does its work on a frame and returns milliseconds."""
    tables = bundle.codec.tables
    webp = load_rival("webp").open_coder(WEBP_QUALITY, OPTIONS)

    def blueprint(frame: _Input) -> float:
        return server.from_symbols(frame.symbols, frame.geometry)["decode_ms"]

    def tail(frame: _Input) -> float:
        return server.from_shallow(server.shallow(frame.prepared), frame.geometry)["tail_ms"]

    def entropy_decode(frame: _Input) -> float:
        payload = rans.encode(frame.symbols, tables)
        return _ms(lambda: rans.decode(payload, frame.symbols.shape, tables), ENTROPY_CALLS)

    return {
        "frame to packet": lambda frame: _ms(lambda: encoder.encode(frame.rgb)),
        **_int8_steps(bundle),
        "scale 640x480": lambda frame: _ms(lambda: bundle.codec.geometry(*CAMERA).prepare(frame.large)),
        "webp": lambda frame: _ms(lambda: webp.encode(frame.scaled)),
        "entropy encode": lambda frame: _ms(lambda: rans.encode(frame.symbols, tables), ENTROPY_CALLS),
        "entropy decode": entropy_decode,
        **_reference_steps(bundle),
        "blueprint": blueprint,
        "shallow layers": lambda frame: _ms(lambda: server.shallow(frame.prepared)),
        "tail": tail,
        "backbone": lambda frame: server.from_picture(frame.prepared, frame.geometry)["tail_ms"],
    }


def _int8_steps(bundle: Bundle) -> dict[str, Step]:
    """Return frame to packet in int8, of the bundle and of the one beside it whose name ends in ``-nano``."""
    nano = bundle.path.with_name(f"{bundle.path.name}-nano")
    codecs = {"frame to packet in int8": bundle.codec}
    if nano.is_dir():
        codecs["frame to packet by nano in int8"] = Codec.open(nano)

    def step(encoder: FrameEncoder) -> Step:
        return lambda frame: _ms(lambda: encoder.encode(frame.rgb))

    return {
        name: step(FrameEncoder(codec, precision=INT8))
        for name, codec in codecs.items()
        if INT8 in codec.precisions
    }


def _reference_steps(bundle: Bundle) -> dict[str, Step]:
    try:
        reference = ReferenceRans(bundle.codec.tables)
    except RuntimeUnavailable as err:
        print(f"ratios to CompressAI are not measured: {err}", file=sys.stderr)
        return {}

    def encode(frame: _Input) -> float:
        symbols, indexes = reference.lists(frame.symbols)
        return _ms(lambda: reference.encode(symbols, indexes), ENTROPY_CALLS)

    def decode(frame: _Input) -> float:
        symbols, indexes = reference.lists(frame.symbols)
        payload = reference.encode(symbols, indexes)
        return _ms(lambda: reference.decode(payload, indexes), ENTROPY_CALLS)

    return {"reference encode": encode, "reference decode": decode}


def _ms(work: Callable[[], Any], calls: int = 1) -> float:
    """Return the milliseconds of the fastest call."""
    times = []
    for _ in range(calls):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times) * 1e3


if __name__ == "__main__":
    print(json.dumps(measure(Bundle.open(sys.argv[1]))))
