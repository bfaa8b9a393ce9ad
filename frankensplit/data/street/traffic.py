# SPDX-License-Identifier: Apache-2.0
"""What moves: endless streams of cars, people and bicycles, each member a function of seed and number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from frankensplit.data.street.cars import Mesh, draw_car, paint_car
from frankensplit.data.street.figures import Person, draw_person, paint_bicyclist, paint_pedestrian
from frankensplit.data.street.light import Light
from frankensplit.data.street.scene import FAR_M, Scene
from frankensplit.data.street.textures import Layout
from frankensplit.data.street.world import Density, Section

Thing = tuple[float, Callable[[Scene], None]]


@dataclass(frozen=True)
class WalkingGroup:
    """Members ``spacing`` metres apart that all move at ``speed`` metres a second along the street."""

    number: int
    spacing: float
    speed: float
    across: float
    spread: float  # metres that members are off the line

    def near(self, scene: Scene) -> Iterator[tuple[int, float]]:
        """Yield the members ahead of the camera: their number and where they are."""
        base = scene.camera.z - self.speed * scene.time
        for member in range(int(base // self.spacing) - 1, int((base + FAR_M) // self.spacing) + 2):
            yield member, (member + 0.5) * self.spacing + self.speed * scene.time


class Traffic:
    """All streams of one street."""

    def __init__(
        self, seed: int, light: Light, layout: Layout, density: Density, speed: float, side: int
    ) -> None:
        self.seed, self.light, self.layout, self.side = seed, light, layout, side
        lane = 0.36 * min(layout.road, 4.6)
        walk = layout.road + 0.62 * layout.pavement
        self._cars = [
            WalkingGroup(0, density.traffic_m, -0.9 * speed - 2, -side * lane, 0.2),
            WalkingGroup(1, density.traffic_m * 1.7, speed + 0.15, side * lane, 0.2),
        ]
        self._people = [
            WalkingGroup(2 + index, density.people_m, pace, where * walk, 0.28 * layout.pavement)
            for index, (where, pace) in enumerate(((-1, 1.2), (-1, -1.3), (1, 1.25), (1, -1.15)))
        ]
        edge = side * min(layout.road - 0.7, 2.9 + 0.5 * (layout.road > 5))
        self._bicycles = [
            WalkingGroup(8, density.bicycles_m, 4.2, edge, 0.2),
            WalkingGroup(9, density.bicycles_m * 1.3, -4.5, -edge, 0.2),
        ]
        self._cache: dict[tuple[int, int], tuple[Any, float, float]] = {}

    def things(self, scene: Scene, sections: list[Section]) -> list[Thing]:
        """Return where along the street each moving or parked thing is, and how to draw it."""
        found: list[Thing] = []
        for section in sections:
            for mesh, across, along, heading in section.parked:
                found.append(
                    (along, partial(paint_car, mesh=mesh, across=across, along=along, heading=heading))
                )
            if section.junction is not None:
                found.extend(self._crossing(scene, section.junction))
        for streams, paint in (
            (self._cars, paint_car),
            (self._people, paint_pedestrian),
            (self._bicycles, paint_bicyclist),
        ):
            found.extend(thing for stream in streams for thing in self._stream(scene, stream, paint))
        return found

    def _stream(self, scene: Scene, stream: WalkingGroup, paint: Callable[..., None]) -> Iterator[Thing]:
        for member, along in stream.near(scene):
            who, sideways, ahead = self._member(stream, member)
            z = along + ahead * stream.spacing
            close = 9.0 if stream.number < 2 else 2.5
            if scene.ahead(z) < (close if stream.speed > 0 else 1.5):
                continue
            heading = 0.0 if stream.speed > 0 else np.pi
            across = stream.across + sideways * stream.spread
            yield z, partial(_call, paint, who, across, z, heading)

    def _member(self, stream: WalkingGroup, member: int) -> tuple[Any, float, float]:
        key = stream.number, member
        if key not in self._cache:
            rng = np.random.default_rng((self.seed, 10 + stream.number, member % 2**32))
            draw = partial(draw_car, light=self.light) if stream.number < 2 else draw_person
            who: Mesh | Person = draw(rng)
            self._cache[key] = who, float(rng.uniform(-1, 1)), float(rng.uniform(-0.42, 0.42))
        return self._cache[key]

    def _crossing(self, scene: Scene, junction: float) -> Iterator[Thing]:
        """At a side street: one car that crosses, one bicycle, and people on the crossing."""
        number = int(junction) % 2**32
        rng = np.random.default_rng((self.seed, 30, number))
        mesh, rider = draw_car(rng, self.light), draw_person(rng)
        phase = float(rng.uniform(0, 40))
        x = (scene.time * 6.0 + phase) % 60 - 30
        z = junction + 6.2
        yield z, partial(_call, paint_car, mesh, x, z, np.pi / 2)
        x = 20 - (scene.time * 4.0 + phase) % 40
        yield junction + 3.0, partial(_call, paint_bicyclist, rider, x, junction + 3.0, -np.pi / 2)
        for walker in range(3):
            person = draw_person(rng)
            way = 1 if walker % 2 else -1
            x = way * ((scene.time * 1.3 + float(rng.uniform(0, 24))) % 24 - 12)
            z = junction - 2.0 + 0.6 * walker
            yield z, partial(_call, paint_pedestrian, person, x, z, way * np.pi / 2)


def _call(
    paint: Callable[..., None], who: Mesh | Person, across: float, along: float, heading: float, scene: Scene
) -> None:
    paint(scene, who, across, along, heading)
