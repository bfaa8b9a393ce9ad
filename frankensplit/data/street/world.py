# SPDX-License-Identifier: Apache-2.0
"""What stands where: the street in sections, each drawn from the seed and its number alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frankensplit.data.street import textures
from frankensplit.data.street.canvas import pyramid
from frankensplit.data.street.cars import Mesh, draw_car
from frankensplit.data.street.facades import Facade, draw_facade
from frankensplit.data.street.furniture import Item, Sprite, bollard, lamp, sign, signal, tree
from frankensplit.data.street.light import Light
from frankensplit.data.street.textures import Layout

Array = NDArray[Any]
SECTION_M = textures.GROUND_PERIOD_M
JUNCTION = (19.0, 28.0)  # a side street, within its section


@dataclass(frozen=True)
class Density:
    """How full the street is; each a probability of a place being taken."""

    trees: float
    gardens: float
    fences: float
    parked: float
    signs: float
    bollards: float
    setback: float  # metres between pavement and facades
    people_m: float  # mean distance between people of one stream
    bicycles_m: float
    traffic_m: float


def draw_density(rng: np.random.Generator) -> Density:
    """Draw how full a street is."""
    return Density(
        trees=float(rng.uniform(0.1, 0.85)),
        gardens=float(rng.uniform(0.08, 0.5)),
        fences=float(rng.uniform(0.1, 0.7)),
        parked=float(rng.choice([0.0, 0.15, 0.3, 0.6])),
        signs=float(rng.uniform(0.3, 0.9)),
        bollards=float(rng.choice([0.0, 0.0, 0.35])),
        setback=float(rng.choice([0.0, 0.0, 1.2, 2.5])),
        people_m=float(rng.uniform(7, 24)),
        bicycles_m=float(rng.uniform(16, 60)),
        traffic_m=float(rng.uniform(35, 100)),
    )


@dataclass(frozen=True)
class Front:
    """A flat thing along the street (facade, fence, hedge) between two z, as a texture in several sizes."""

    across: float
    start: float
    end: float
    height: float
    mips: list[Array]


@dataclass(frozen=True)
class House:
    """A facade with its side wall and roof."""

    front: Front
    facade: Facade


@dataclass(frozen=True)
class Lot:
    """A piece of one side of the street: a house or a garden, and its border to the pavement."""

    side: int
    start: float
    house: House | None = None
    behind: list[Item] = field(default_factory=list)
    border: Front | None = None


@dataclass(frozen=True)
class Section:
    """Everything of one section that does not move."""

    lots: list[Lot]
    items: list[Item]
    parked: list[tuple[Mesh, float, float, float]]  # mesh, across, along, heading
    junction: float | None  # z of the side street's near edge


class World:
    """Draws sections of one seed; every section is a pure function of the seed and its number."""

    def __init__(self, seed: int, light: Light, layout: Layout, density: Density) -> None:
        self.seed, self.light, self.layout, self.density = seed, light, layout, density
        rng = np.random.default_rng((seed, 1))
        self._facades = [draw_facade(rng, light) for _ in range(9)]
        self._crowns: list[Sprite] = [textures.crown(rng, light) for _ in range(4)]
        self._hedge = textures.hedge(rng, 160, 32)
        self._fences = [textures.fence(rng, 160, 30) for _ in range(2)]
        self._sections: dict[int, Section] = {}

    def section(self, number: int) -> Section:
        """Return section ``number``; a few are kept, which changes the cost only."""
        if number not in self._sections:
            if len(self._sections) > 16:
                self._sections.clear()
            self._sections[number] = self._draw(number)
        return self._sections[number]

    def _draw(self, number: int) -> Section:
        rng = np.random.default_rng((self.seed, 2, number % 2**32))
        begin = number * SECTION_M
        junction = begin + JUNCTION[0] if rng.random() < 0.3 else None
        lots = [lot for side in (-1, 1) for lot in self._side(rng, side, begin, junction is not None)]
        return Section(lots, self._items(rng, begin, junction), self._parked(rng, begin, junction), junction)

    def _side(self, rng: np.random.Generator, side: int, begin: float, junction: bool) -> list[Lot]:
        spans = [(0.0, JUNCTION[0]), (JUNCTION[1], SECTION_M)] if junction else [(0.0, SECTION_M)]
        lots: list[Lot] = []
        for start, end in spans:
            at = start
            while end - at > 2.0:
                fits = [f for f in self._facades if f.width <= end - at]
                if not fits or rng.random() < self.density.gardens:
                    wide = min(end - at, float(rng.uniform(6, 14)))
                    lots.append(self._garden(rng, side, begin + at, wide))
                else:
                    facade = fits[int(rng.integers(len(fits)))]
                    wide = facade.width
                    lots.append(self._house(rng, side, begin + at, facade))
                at += wide + (0.0 if rng.random() < 0.75 else 1.5)
        return lots

    def _tinted(self, side: int, texture: Array, tint: Array) -> list[Array]:
        """Light a texture for its side of the street and make it small in several steps."""
        factor = self.light.sides[0 if side < 0 else 1]
        lit = texture.copy()
        lit[..., :3] = np.clip(texture[..., :3] * (tint * factor), 0, 255)
        return pyramid(lit)

    def _house(self, rng: np.random.Generator, side: int, start: float, facade: Facade) -> Lot:
        across = side * (self.layout.front + self.density.setback)
        mips = self._tinted(side, facade.texture, rng.uniform(0.9, 1.08, 3))
        house = House(Front(across, start, start + facade.width, facade.height, mips), facade)
        fenced = self.density.setback > 0 and rng.random() < 2 * self.density.fences
        border = self._border(rng, side, start, facade.width) if fenced else None
        return Lot(side, start, house, border=border)

    def _garden(self, rng: np.random.Generator, side: int, start: float, wide: float) -> Lot:
        trees = [
            tree(
                rng,
                self._crowns,
                side * (self.layout.front + rng.uniform(2.5, 8)),
                start + rng.uniform(0, wide),
            )
            for _ in range(int(wide / 3) + 1)
        ]
        behind = sorted(trees, key=lambda item: -item.along)
        return Lot(side, start, behind=behind, border=self._border(rng, side, start, wide))

    def _border(self, rng: np.random.Generator, side: int, start: float, wide: float) -> Front:
        fenced = rng.random() < 0.72
        texture = self._fences[int(rng.integers(len(self._fences)))] if fenced else self._hedge
        height = float(rng.uniform(0.9, 1.9))
        mips = self._tinted(side, texture, np.full(3, rng.uniform(0.85, 1.1)))
        return Front(side * (self.layout.front + 0.1), start, start + wide, height, mips)

    def _items(self, rng: np.random.Generator, begin: float, junction: float | None) -> list[Item]:
        items: list[Item] = []
        kerb, density = self.layout.road + 0.55, self.density
        for side in (-1, 1):
            shift = rng.uniform(0, 6)
            for slot in np.arange(shift, SECTION_M, 8.0):
                z, x = begin + float(slot), side * kerb
                if junction is not None and junction - 1 < z < junction + 10:
                    continue
                if rng.random() < density.trees:
                    items.append(tree(rng, self._crowns, x, z))
                if rng.random() < density.signs * 0.5:
                    items.append(sign(rng, x, z + 2.5))
                if rng.random() < density.bollards:
                    items.extend(bollard(rng, x, z + 1.6 * step) for step in range(4))
            places = (14.0, 38.0) if side > 0 else (4.0, 28.0)
            items += [lamp(rng, side * (kerb + 0.1), begin + place) for place in places]
            if junction is not None:
                items.append(signal(rng, side * kerb, junction - 1.5))
                items.append(signal(rng, side * kerb, junction + 10.5))
        return items

    def _parked(
        self, rng: np.random.Generator, begin: float, junction: float | None
    ) -> list[tuple[Mesh, float, float, float]]:
        parked: list[tuple[Mesh, float, float, float]] = []
        for side in (-1, 1):
            for slot in np.arange(3.0, SECTION_M, 6.0):
                z = begin + float(slot) + float(rng.uniform(-0.5, 0.5))
                blocked = junction is not None and junction - 5 < z < junction + 14
                if self.layout.road < 4.4 or blocked or rng.random() > self.density.parked:
                    continue
                heading = float(rng.choice([0.0, np.pi]) + rng.normal(0, 0.03))
                across = side * (self.layout.road - 1.1)
                parked.append((draw_car(rng, self.light), across, z, heading))
        return parked
