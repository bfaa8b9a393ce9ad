# SPDX-License-Identifier: Apache-2.0
"""One frame's stage: the canvas, the camera, the light and the bend of the street."""

from __future__ import annotations

import math
from collections.abc import Sequence
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

    def slope(self, z: Array | float) -> Any:
        rate = 2 * np.pi / self.length
        return self.amplitude * rate * np.cos(rate * np.asarray(z) + self.phase)


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
        (painted,) = self.paints([color], label, factor, depth)
        return painted

    def paints(self, colors: Sequence[Color], label: int, factor: float | Array, depth: float) -> list[Paint]:
        """Do the same for many colours, each with its own factor or all with one."""
        haze = self.haze(depth)
        lit = np.minimum(np.asarray(colors) * np.asarray(factor).reshape(-1, 1), 255) * (1 - haze)
        rows = np.rint(lit + np.multiply(self.light.horizon, haze)).astype(int).tolist()
        return [(red, green, blue, label) for red, green, blue in rows]

    def haze(self, depth: float) -> float:
        """Share of the air's own light in what is seen at a depth, 0..1."""
        return 1 - math.exp(-max(depth, 0.0) / HAZE_M)

    def ahead(self, z: float) -> float:
        """Distance along the street from the camera."""
        return z - self.camera.z
