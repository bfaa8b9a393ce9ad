# SPDX-License-Identifier: Apache-2.0
"""A codec under measurement: from camera frame to bytes on the robot, from bytes to predictions on the server.

Each stage is timed separately. Scaling the camera's frame to the network's size counts as encoding for everyone.
"""

from __future__ import annotations

import struct
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from frankensplit.bundle import Bundle
from frankensplit.edge.encoder import FrameEncoder
from frankensplit.edge.runtimes import RuntimeOptions, open_runtime
from frankensplit.errors import DataError, RuntimeUnavailable
from frankensplit.evaluation import OURS, RAW
from frankensplit.evaluation.encoder_cost import encoder_cost
from frankensplit.evaluation.rivals import Coder, Cost, Options, Quality, load_rival
from frankensplit.geometry import Geometry

if TYPE_CHECKING:
    from frankensplit.benchmarks.server import Server  # imports torch, which the robot's half seldom needs

STAGES = (
    "encode_ms",
    "entropy_encode_ms",
    "entropy_decode_ms",
    "decode_ms",
    "tail_ms",
    "heads_ms",
)
Times = dict[str, float | None]  # milliseconds of each stage; None if the codec does not report it


@dataclass(frozen=True)
class Sent:
    """One frame's bytes, and what making them took."""

    data: bytes
    encode_ms: float
    entropy_ms: float | None


class Subject(ABC):
    """One codec at one quality, as a stream of frames of one size.

    Args:
        bundle: gives geometry, encoder and tables.
        name: the codec's.
        quality: its setting.
        weights: ``untrained`` for a learned codec without weights, whose times hold but whose bytes do not.
    """

    def __init__(self, bundle: Bundle, name: str, quality: Quality, weights: str | None = None) -> None:
        self.codec, self.name, self.quality, self.weights = bundle.codec, name, quality, weights

    @abstractmethod
    def encode(self, rgb: NDArray[np.uint8]) -> Sent:
        """Turn a camera frame, uint8 RGB ``(H, W, 3)``, into bytes, as on the robot."""

    @abstractmethod
    def decode(self, data: bytes, geometry: Geometry, server: Server) -> Times:
        """Turn bytes into predictions, as on the server, and return its stages' times."""

    @abstractmethod
    def cost(self, geometry: Geometry, server: Server) -> Cost | None:
        """Return the size of the codec's networks; None where it has none or it cannot be counted."""

    def measure(self, rgb: NDArray[np.uint8], server: Server) -> tuple[int, Times]:
        """Send one frame all the way; return its bytes and the milliseconds of each of ``STAGES``."""
        sent = self.encode(rgb)
        received = self.decode(sent.data, self.geometry(rgb), server)
        return len(sent.data), {
            "encode_ms": sent.encode_ms,
            "entropy_encode_ms": sent.entropy_ms,
            **received,
        }

    def geometry(self, rgb: NDArray[np.uint8]) -> Geometry:
        """Return the frame's geometry."""
        return self.codec.geometry(rgb.shape[0], rgb.shape[1])


class Ours(Subject):
    """The bundle's own codec: packets by the encoder that the edge node uses."""

    def __init__(self, bundle: Bundle, threads: int) -> None:
        super().__init__(bundle, OURS, 0)
        self.encoder = FrameEncoder(bundle.codec, threads=threads)

    def encode(self, rgb: NDArray[np.uint8]) -> Sent:
        """Scale, run the network, code its integers."""
        frame = self.encoder.encode(rgb)
        return Sent(frame.data, frame.preprocess_ms + frame.encode_ms, frame.entropy_ms)

    def decode(self, data: bytes, geometry: Geometry, server: Server) -> Times:
        """Decode integers, run blueprint, tail and heads."""
        started = time.perf_counter()
        symbols, _ = self.codec.unpack(data)
        entropy_ms = _ms_since(started)
        return {"entropy_decode_ms": entropy_ms, **server.from_symbols(symbols, geometry)}

    def cost(self, geometry: Geometry, server: Server) -> Cost | None:
        """Count the ONNX encoder and the blueprint."""
        return _own_cost(self.codec.encoder_path, geometry, server, self.codec.channels, self.codec.stride)


class LatentRival(Subject):
    """Our integers, coded by someone else."""

    def __init__(self, bundle: Bundle, name: str, quality: Quality, coder: Coder, threads: int) -> None:
        super().__init__(bundle, name, quality)
        self.coder = coder
        self.network = open_runtime("onnxruntime", bundle.codec.encoder_path, RuntimeOptions(threads))

    def encode(self, rgb: NDArray[np.uint8]) -> Sent:
        """Scale, run our network, code its integers by the rival."""
        started = time.perf_counter()
        symbols = self.network(self.geometry(rgb).prepare(rgb)[np.newaxis])[0]
        encoded = time.perf_counter()
        data = self.coder.encode(symbols)
        return Sent(data, 1e3 * (encoded - started), _ms_since(encoded))

    def decode(self, data: bytes, geometry: Geometry, server: Server) -> Times:
        """Decode integers by the rival, run blueprint, tail and heads."""
        started = time.perf_counter()
        symbols = _decoded(self, self.coder, data)
        entropy_ms = _ms_since(started)
        return {"entropy_decode_ms": entropy_ms, **server.from_symbols(symbols, geometry)}

    def cost(self, geometry: Geometry, server: Server) -> Cost | None:
        """Count our networks, which this rival uses."""
        return _own_cost(self.codec.encoder_path, geometry, server, self.codec.channels, self.codec.stride)


class FeatureRival(Subject):
    """The backbone's own shallow layers run on the robot, and their features are coded."""

    def __init__(self, bundle: Bundle, name: str, quality: Quality, coder: Coder, robot: Server) -> None:
        super().__init__(bundle, name, quality)
        self.coder, self.robot = coder, robot

    def encode(self, rgb: NDArray[np.uint8]) -> Sent:
        """Scale, run the shallow layers, code their features."""
        started = time.perf_counter()
        features = self.robot.shallow(self.geometry(rgb).prepare(rgb))
        data = self.coder.encode(features)
        return Sent(data, *_apart(_ms_since(started), self.coder))

    def decode(self, data: bytes, geometry: Geometry, server: Server) -> Times:
        """Decode features, run tail and heads."""
        started = time.perf_counter()
        features = _decoded(self, self.coder, data)
        decode_ms, entropy_ms = _apart(_ms_since(started), self.coder)
        return {
            "entropy_decode_ms": entropy_ms,
            "decode_ms": decode_ms,
            **server.from_shallow(features, geometry),
        }

    def cost(self, geometry: Geometry, server: Server) -> Cost | None:
        """Count the shallow layers as the encoder."""
        parameters, macs = server.shallow_cost(geometry)
        return Cost(parameters, 0, macs, 0)


class PixelRival(Subject):
    """A picture codec; the unmodified backbone sees what it decodes."""

    def __init__(
        self, bundle: Bundle, name: str, quality: Quality, coder: Coder, weights: str | None = None
    ) -> None:
        super().__init__(bundle, name, quality, weights)
        self.coder = coder

    def encode(self, rgb: NDArray[np.uint8]) -> Sent:
        """Scale, code the picture at the size that the network sees, without its padding."""
        started = time.perf_counter()
        geometry = self.geometry(rgb)
        scaled = geometry.prepare(rgb)[: geometry.scaled_height, : geometry.scaled_width]
        data = self.coder.encode(np.ascontiguousarray(scaled))
        return Sent(data, *_apart(_ms_since(started), self.coder))

    def decode(self, data: bytes, geometry: Geometry, server: Server) -> Times:
        """Decode and pad the picture, run the whole backbone and heads."""
        started = time.perf_counter()
        picture = _decoded(self, self.coder, data)
        height, width = picture.shape[:2]
        padded = Geometry(height, width, height, width, geometry.multiple).prepare(picture)
        decode_ms, entropy_ms = _apart(_ms_since(started), self.coder)
        return {
            "entropy_decode_ms": entropy_ms,
            "decode_ms": decode_ms,
            **server.from_picture(padded, geometry),
        }

    def cost(self, geometry: Geometry, server: Server) -> Cost | None:
        """Ask the codec."""
        return self.coder.cost(geometry.scaled_height, geometry.scaled_width)


class _Raw(Coder):
    """Pixels as they are; the size goes before them."""

    SIZE = struct.Struct("<HH")

    def encode(self, signal: NDArray[Any]) -> bytes:
        return self.SIZE.pack(*signal.shape[:2]) + signal.tobytes()

    def decode(self, data: bytes) -> NDArray[Any]:
        return np.frombuffer(data, np.uint8, offset=self.SIZE.size).reshape(*self.SIZE.unpack_from(data), 3)


def open_subject(
    bundle: Bundle, name: str, quality: Quality, options: Options, make_server: Callable[[], Server]
) -> Subject:
    """Open our codec, a rival, or plain pixels by name.

    Args:
        bundle: the bundle.
        name: ``frankensplit``, ``raw`` or a rival's name.
        quality: its setting.
        options: what coders may want to know.
        make_server: called where the robot has to run layers of the backbone.

    Raises:
        DataError: no such rival.
        RuntimeUnavailable: a wheel is missing, or weights without which it cannot even be timed.
    """
    if name == OURS:
        return Ours(bundle, options.threads)
    if name == RAW:
        return PixelRival(bundle, RAW, None, _Raw())
    coder, weights = _open_coder(name, quality, options)
    signal = load_rival(name).signal
    if signal == "latent":
        return LatentRival(bundle, name, quality, coder, options.threads)
    if signal == "features":
        return FeatureRival(bundle, name, quality, coder, make_server())
    return PixelRival(bundle, name, quality, coder, weights)


def _open_coder(name: str, quality: Quality, options: Options) -> tuple[Coder, str | None]:
    rival = load_rival(name)
    try:
        return rival.open_coder(quality, options), None
    except RuntimeUnavailable:
        if rival.open_untrained is None:
            raise
        return rival.open_untrained(quality, options), "untrained"


def _decoded(subject: Subject, coder: Coder, data: bytes) -> NDArray[Any]:
    decoded = coder.decode(data)
    if decoded is None:
        raise DataError(
            f"{subject.name} at quality {subject.quality} decodes no picture from a packet although none was "
            "lost; leave it out with --rival"
        )
    return decoded


def _apart(whole_ms: float, coder: Coder) -> tuple[float, float | None]:
    """Return what a call took without its entropy coding, and the entropy coding where the codec tells it."""
    return whole_ms - (coder.entropy_ms or 0.0), coder.entropy_ms


def _own_cost(path: Path, geometry: Geometry, server: Server, channels: int, stride: int) -> Cost | None:
    height, width = geometry.padded_height, geometry.padded_width
    encoder = encoder_cost(path, height, width)
    if encoder is None:
        return None
    parameters, macs = server.blueprint_cost((channels, height // stride, width // stride))
    return Cost(encoder.parameters, parameters, encoder.macs, macs)


def _ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1e3
