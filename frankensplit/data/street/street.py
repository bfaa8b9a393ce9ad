# SPDX-License-Identifier: Apache-2.0
"""Any frame of a drive down a street, with its classes: ``Street(seed).frame(index)`` is a pure function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frankensplit.data.street import backdrop
from frankensplit.data.street.canvas import SUPERSAMPLING, Camera, Canvas
from frankensplit.data.street.light import Development, draw_light
from frankensplit.data.street.scene import FAR_M, Bend, Scene
from frankensplit.data.street.textures import Layout
from frankensplit.data.street.traffic import Thing, Traffic
from frankensplit.data.street.world import SECTION_M, Section, World, draw_density

Array = NDArray[Any]


@dataclass(frozen=True)
class StreetFrame:
    """A picture, uint8 ``(H, W, 3)``, and the class of each pixel, uint8 ``(H, W)``."""

    rgb: NDArray[np.uint8]
    mask: NDArray[np.uint8]


@dataclass(frozen=True)
class Drive:
    """How the camera moves; metres, radians, seconds."""

    speed: float
    lane: float
    height: float
    focal: float  # unit: widths of the picture
    horizon: float  # unit: heights of the picture
    yaw: float
    phase: float


class Street:
    """A street drawn from ``seed``: weather, width, houses, people and traffic all follow from it."""

    def __init__(self, seed: int, height: int = 360, width: int = 480, fps: float = 15.0) -> None:
        self.seed, self.height, self.width, self.fps = seed, height, width, fps
        rng = np.random.default_rng((seed, 0))
        self.light = draw_light(rng)
        self.layout = _draw_layout(rng)
        density = draw_density(rng)
        left_hand = -1 if rng.random() < 0.75 else 1
        self.drive = _draw_drive(rng, self.layout, left_hand)
        self.bend = Bend(float(rng.uniform(0, 9)), float(rng.uniform(260, 460)), float(rng.uniform(0, 6.28)))
        self.world = World(seed, self.light, self.layout, density)
        self.traffic = Traffic(seed, self.light, self.layout, density, self.drive.speed, left_hand)
        self._backdrop = backdrop.StreetBackdrop(rng, self.light, self.layout, height, width)
        self._develop = Development(rng, self.light, height, width)

    def frame(self, index: int) -> StreetFrame:
        """Draw frame ``index`` (any integer); the same arguments give the same pixels."""
        scene = self._scene(index)
        sections = [self.world.section(number) for number in _visible(scene.camera.z)]
        self._backdrop.draw(scene, sections)
        for lot in sorted((lot for s in sections for lot in s.lots), key=lambda lot: -lot.start):
            backdrop.draw_lot(scene, lot)
        self._draw_things(scene, sections)
        rgb, mask = scene.canvas.reduce()
        rgb = self._develop(rgb, np.random.default_rng((self.seed, 3, index % 2**32)))
        return StreetFrame(rgb, mask)

    def _scene(self, index: int) -> Scene:
        drive, time = self.drive, index / self.fps
        z = 20.0 + drive.speed * time
        sway = 0.25 * np.sin(0.31 * time + drive.phase)
        bob = 0.004 * np.sin(5.3 * time + drive.phase) + 0.006 * np.sin(0.9 * time)
        x = drive.lane + sway + float(self.bend.offset(z))
        yaw = float(np.arctan(self.bend.slope(z))) + drive.yaw * np.sin(0.23 * time + drive.phase)
        focal = drive.focal * self.width * SUPERSAMPLING
        horizon = (drive.horizon + bob) * self.height * SUPERSAMPLING
        center = self.width * SUPERSAMPLING / 2
        camera = Camera(x, drive.height, z, yaw, focal, center, horizon)
        return Scene(Canvas(self.height, self.width), camera, self.light, self.bend, time)

    def _draw_things(self, scene: Scene, sections: list[Section]) -> None:
        """Draw what stands or moves before the houses, far to near."""
        things: list[Thing] = [(item.along, item.draw) for s in sections for item in s.items]
        things += self.traffic.things(scene, sections)
        for _, draw in sorted(things, key=lambda thing: -thing[0]):
            draw(scene)


def _visible(z: float) -> range:
    return range(int(np.floor((z - 2) / SECTION_M)), int(np.floor((z + FAR_M) / SECTION_M)) + 1)


def _draw_layout(rng: np.random.Generator) -> Layout:
    return Layout(
        road=float(rng.uniform(3.2, 5.8)),
        pavement=float(rng.uniform(2.0, 5.0)),
        verge=bool(rng.random() < 0.25),
        yellow=bool(rng.random() < 0.45),
    )


def _draw_drive(rng: np.random.Generator, layout: Layout, side: int) -> Drive:
    return Drive(
        speed=float(rng.uniform(4.5, 10.5)),
        lane=side * float(rng.uniform(0.25, 0.48)) * min(layout.road, 4.6),
        height=float(rng.uniform(1.35, 1.75)),
        focal=float(rng.uniform(0.82, 1.12)),
        horizon=float(rng.uniform(0.45, 0.56)),
        yaw=float(rng.uniform(0, 0.05)),
        phase=float(rng.uniform(0, 6.28)),
    )
