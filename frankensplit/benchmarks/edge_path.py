# SPDX-License-Identifier: Apache-2.0
"""The robot's path under measurement: a camera's message to a packet, and what picture codecs do in its place.

Each call is timed by two clocks. Processor time is what all figures are made of: another process that takes the core
away in the middle of a call lengthens it on the wall clock only. Wall time is beside it; idle machines show the same.
The call before a timed one is of the same kind, and not timed: a robot's caches hold what its own codec left there, not
what a dozen others did.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from frankensplit.edge.encoder import FrameEncoder, PreparedFrame
from frankensplit.edge.image import decode_compressed, to_rgb
from frankensplit.evaluation.rivals import Options, load_rival
from frankensplit.geometry import Geometry

STAGES = ("convert", "scale", "network", "entropy")
JPEG_QUALITY = 90


@dataclass(frozen=True)
class CameraFormat:
    """A camera's size in pixels and what it sends: ``rgb8``, ``bgr8`` or ``jpeg``."""

    height: int
    width: int
    encoding: str

    @property
    def size(self) -> str:
        """Width and height as one text."""
        return f"{self.width}x{self.height}"

    def __str__(self) -> str:
        """Return size and encoding."""
        return f"{self.size} {self.encoding}"

    def message(self, rgb: NDArray[np.uint8]) -> bytes:
        """Return the data of the camera's message for a picture ``(H, W, 3)`` of any size."""
        size = self.width, self.height
        picture = rgb if rgb.shape[1::-1] == size else cv2.resize(rgb, size, interpolation=cv2.INTER_CUBIC)
        swapped = np.ascontiguousarray(picture[..., ::-1])
        if self.encoding == "jpeg":
            return cv2.imencode(".jpg", swapped, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
        return (swapped if self.encoding == "bgr8" else np.ascontiguousarray(picture)).tobytes()

    def to_rgb(self, data: bytes) -> NDArray[np.uint8]:
        """Return the picture ``(H, W, 3)`` of a message, as the edge node does."""
        if self.encoding == "jpeg":
            return decode_compressed(data)
        return to_rgb(data, height=self.height, width=self.width, encoding=self.encoding, step=3 * self.width)


@dataclass
class CameraPicture:
    """One picture, uint8 RGB ``(H, W, 3)``, and what cameras send of it, made once."""

    rgb: NDArray[np.uint8]
    messages: dict[CameraFormat, bytes] = field(default_factory=dict)

    def seen_by(self, camera: CameraFormat) -> bytes:
        """Return the data of a camera's message."""
        if camera not in self.messages:
            self.messages[camera] = camera.message(self.rgb)
        return self.messages[camera]


@dataclass(frozen=True)
class CallTimes:
    """Milliseconds of one call in wall time and processor time, and of its stages in processor time."""

    wall_ms: float
    cpu_ms: float
    stages_ms: dict[str, float]


class MeasuredPath(Protocol):
    """What is measured."""

    def measure(self, frame: CameraPicture) -> CallTimes:
        """Do the work on one frame."""
        ...


class RobotPath:
    """A camera's messages to packets."""

    def __init__(self, encoder: FrameEncoder, camera: CameraFormat) -> None:
        self.encoder, self.camera = encoder, camera

    def prepare(self, frame: CameraPicture) -> PreparedFrame:
        """Do what comes before the network."""
        return self.encoder.prepare(self.camera.to_rgb(frame.seen_by(self.camera)))

    def measure(self, frame: CameraPicture) -> CallTimes:
        """Encode one frame."""
        data = frame.seen_by(self.camera)
        stages: dict[str, float] = {}

        def work() -> None:
            started = time.process_time()
            rgb = self.camera.to_rgb(data)
            converted = time.process_time()
            prepared = self.encoder.prepare(rgb)
            scaled = time.process_time()
            encoded = self.encoder.finish(prepared)
            finish_ms = 1e3 * (time.process_time() - scaled)
            coding = encoded.entropy_ms / (encoded.encode_ms + encoded.entropy_ms)  # split by wall-clock time
            stages.update(convert=1e3 * (converted - started), scale=1e3 * (scaled - converted))
            stages.update(network=(1 - coding) * finish_ms, entropy=coding * finish_ms)

        return _timed(work, stages)


class PictureCoding:
    """A picture codec. Its frames are scaled beforehand, so it need not scale them itself."""

    def __init__(self, name: str, quality: int | None, geometry: Callable[[int, int], Geometry]) -> None:
        self.coder = load_rival(name).open_coder(quality, Options(threads=1))
        self.geometry = geometry

    def measure(self, frame: CameraPicture) -> CallTimes:
        """Encode one frame."""
        geometry = self.geometry(*frame.rgb.shape[:2])
        scaled = geometry.prepare(frame.rgb)[: geometry.scaled_height, : geometry.scaled_width]
        picture = np.ascontiguousarray(scaled)
        return _timed(lambda: self.coder.encode(picture), {})


@dataclass(frozen=True)
class Summary:
    """Medians of samples, milliseconds; ``best_ms`` is the least processor time."""

    wall_ms: float
    cpu_ms: float
    best_ms: float
    stages_ms: dict[str, float]

    @classmethod
    def of(cls, samples: list[CallTimes]) -> Summary:
        """Take the medians, of each stage by itself."""
        stages = {name: median(one.stages_ms[name] for one in samples) for name in samples[0].stages_ms}
        cpu_ms = [one.cpu_ms for one in samples]
        return cls(median(one.wall_ms for one in samples), median(cpu_ms), min(cpu_ms), stages)

    def share(self, *stages: str) -> float:
        """Return the share of stages in all of them."""
        return sum(self.stages_ms[name] for name in stages) / sum(self.stages_ms.values())


def _timed(work: Callable[[], Any], stages: dict[str, float]) -> CallTimes:
    work()
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return CallTimes(1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu), stages)
