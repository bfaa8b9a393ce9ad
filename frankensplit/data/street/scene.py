# SPDX-License-Identifier: Apache-2.0
"""One frame's stage: the canvas, the camera, the light and the bend of the street."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frankensplit.data.street.canvas import Camera, Canvas, Paint
from frankensplit.data.street.light import Color, Light

Array = NDArray[Any]
HAZE_M = 320.0
FAR_M = 130.0
NEAR_M = 1.2


@dataclass(frozen=True)
class Bend:
    """The centre line of the street: x = amplitude * sin(2 pi z / length + phase), in metres."""

    amplitude: float
    length: float
    phase: float

    def offset(self, z: Array | float) -> Any:
        return self.amplitude * np.sin(2 * np.pi * np.asarray(z) / self.length + self.phase)

    def slope(self, z: float) -> float:
        rate = 2 * np.pi / self.length
        return float(self.amplitude * rate * np.cos(rate * z + self.phase))


@dataclass(frozen=True)
class Scene:
    """What a thing needs to draw itself; street coordinates are (across, up, along) in metres."""

    canvas: Canvas
    camera: Camera
    light: Light
    bend: Bend
    time: float  # seconds since frame 0

    def world(self, points: Array) -> Array:
        """Bend street coordinates ``(N, 3)`` into the world."""
        out = np.array(points, float)
        out[:, 0] += self.bend.offset(out[:, 2])
        return out

    def project(self, points: Array) -> tuple[Array, Array]:
        """Project street coordinates ``(N, 3)`` to pixels and depths."""
        return self.camera.project(self.world(points))

    def scale(self, depth: float) -> float:
        """Pixels a metre at a depth."""
        return self.camera.focal / max(depth, NEAR_M)

    def paint(self, color: Color, label: int, factor: float = 1.0, depth: float = 0.0) -> Paint:
        """Light a colour, fade it into the haze of its distance and add its class."""
        haze = 1 - np.exp(-max(depth, 0.0) / HAZE_M)
        mixed = [min(255.0, c * factor) * (1 - haze) + h * haze for c, h in zip(color, self.light.horizon)]
        return round(mixed[0]), round(mixed[1]), round(mixed[2]), label

    def ahead(self, z: float) -> float:
        """Distance along the street from the camera."""
        return z - self.camera.z
