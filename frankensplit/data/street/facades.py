# SPDX-License-Identifier: Apache-2.0
"""Facades of houses, shops and offices, drawn flat at a fixed scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from frankensplit.data.street.classes import BUILDING
from frankensplit.data.street.light import Color, Light, dim
from frankensplit.data.street.textures import fractal, labelled

Array = NDArray[Any]
PX_M = 20
WALLS: tuple[Color, ...] = (
    (152, 92, 72),
    (128, 80, 64),
    (176, 128, 92),
    (196, 176, 142),
    (214, 204, 186),
    (226, 222, 214),
    (160, 158, 154),
    (186, 164, 120),
    (132, 140, 148),
    (204, 170, 150),
    (170, 182, 190),
    (108, 88, 78),
)
SHOPS: tuple[Color, ...] = (
    (168, 40, 44),
    (36, 74, 138),
    (28, 104, 74),
    (206, 158, 44),
    (44, 44, 48),
    (118, 54, 110),
    (226, 226, 220),
    (196, 92, 36),
)


@dataclass(frozen=True)
class Facade:
    """A front: texture uint8 ``(H, W, 4)``, its size in metres, and what the rest of the house needs."""

    texture: Array
    width: float
    height: float
    wall: Color
    pitched: bool


def draw_facade(rng: np.random.Generator, light: Light) -> Facade:
    """Draw a house, a shop with flats above, or an office block."""
    office = rng.random() < 0.22
    floors = int(rng.integers(3, 7)) if office else int(rng.choice([2, 3, 3, 4]))
    storey = float(rng.uniform(2.9, 3.4))
    columns = int(rng.integers(2, 7))
    pitch = float(rng.uniform(2.0, 2.9))
    width, height = columns * pitch + 0.8, floors * storey + float(rng.uniform(0.5, 1.2))
    wall = WALLS[int(rng.integers(len(WALLS)))]
    picture = _wall(rng, round(height * PX_M), round(width * PX_M), wall)
    draw = _Drawer(rng, light, picture)
    shop = rng.random() < (0.3 if office else 0.5)
    for floor in range(1 if shop else 0, floors):
        base = picture.shape[0] - floor * storey * PX_M
        draw.storey(base, storey * PX_M, columns, pitch * PX_M, door=floor == 0, wide=office)
    if shop:
        draw.shop(storey * PX_M)
    draw.cornice()
    return Facade(labelled(picture, BUILDING), width, height, wall, pitched=not office and rng.random() < 0.7)


def _wall(rng: np.random.Generator, height: int, width: int, color: Color) -> Array:
    value = 1 + 0.05 * fractal(rng, height, width, 5) + rng.normal(0, 0.045, (height, width))
    if rng.random() < 0.6:
        value[::3] *= 0.93  # courses of brick
    value *= np.linspace(1.04, 0.94, height)[:, None]
    return np.ascontiguousarray(value[..., None] * color).astype(np.float32)


class _Drawer:
    """Draws the parts of one front in pixels; the style is drawn once, so that a front looks of one piece."""

    def __init__(self, rng: np.random.Generator, light: Light, picture: Array) -> None:
        self.rng, self.light, self.picture = rng, light, picture
        self.frame: Color = (236, 234, 228) if rng.random() < 0.65 else (58, 54, 52)
        self.size = rng.uniform(0.4, 0.62), rng.uniform(0.46, 0.66)
        self.bars = int(rng.integers(0, 3))
        self.sill = bool(rng.random() < 0.7)

    def rectangle(self, x0: float, y0: float, x1: float, y1: float, color: Color) -> None:
        cv2.rectangle(self.picture, (round(x0), round(y0)), (round(x1), round(y1)), color, -1)

    def glass(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """Draw a pane: dark below, sky above, or lamp light from within."""
        if self.light.lamps and self.rng.random() < 0.4:
            warm = self.rng.uniform(0.75, 1.1)
            self.rectangle(x0, y0, x1, y1, (255 * warm, 214 * warm, 138 * warm))
            return
        tone = self.rng.uniform(0.5, 1.15)
        middle = y0 + (y1 - y0) * self.rng.uniform(0.3, 0.7)
        self.rectangle(x0, y0, x1, middle, (112 * tone, 130 * tone, 148 * tone))
        self.rectangle(x0, middle, x1, y1, (62 * tone, 72 * tone, 84 * tone))
        if self.rng.random() < 0.3:  # a curtain
            self.rectangle(x0, y0, x0 + (x1 - x0) * 0.25, y1, (196, 190, 178))

    def window(self, x0: float, y0: float, x1: float, y1: float) -> None:
        self.rectangle(x0 - 2, y0 - 2, x1 + 2, y1 + 2, self.frame)
        self.glass(x0, y0, x1, y1)
        for bar in range(1, self.bars + 1):
            x = x0 + (x1 - x0) * bar / (self.bars + 1)
            self.rectangle(x, y0, x, y1, self.frame)
        self.rectangle(x0, (y0 + y1) / 2, x1, (y0 + y1) / 2, self.frame)
        if self.sill:
            self.rectangle(x0 - 4, y1 + 2, x1 + 4, y1 + 4, (206, 202, 194))
            self.rectangle(x0 - 3, y1 + 5, x1 + 3, y1 + 6, (92, 86, 80))

    def storey(self, base: float, high: float, columns: int, pitch: float, door: bool, wide: bool) -> None:
        entrance = int(self.rng.integers(columns)) if door else -1
        share = 0.84 if wide else self.size[0]
        top = base - high * (0.25 + self.size[1])
        for column in range(columns):
            center = 0.4 * PX_M + (column + 0.5) * pitch
            half = pitch * share / 2
            if column == entrance:
                self.door(center, base)
            else:
                self.window(center - half, top, center + half, base - high * 0.27)

    def door(self, center: float, base: float) -> None:
        color = SHOPS[int(self.rng.integers(len(SHOPS)))]
        self.rectangle(center - 13, base - 48, center + 13, base, self.frame)
        self.rectangle(center - 10, base - 42, center + 10, base, dim(color, 0.8))
        self.glass(center - 7, base - 38, center + 7, base - 26)

    def shop(self, high: float) -> None:
        """Draw a ground floor of glass under a coloured fascia, sometimes with an awning."""
        height, width = self.picture.shape[:2]
        color = SHOPS[int(self.rng.integers(len(SHOPS)))]
        top = height - high
        self.rectangle(0, top, width, height, dim(color, 0.55))
        panes = max(2, round(width / (1.9 * PX_M)))
        for pane in range(panes):
            x0, x1 = width * pane / panes + 4, width * (pane + 1) / panes - 4
            self.glass(x0, top + high * 0.3, x1, height - high * 0.12)
            for _ in range(4):  # goods on display
                x, y = self.rng.uniform(x0, x1), height - high * self.rng.uniform(0.14, 0.42)
                red, green, blue = self.rng.uniform(60, 220, 3).tolist()
                self.rectangle(x, y - 5, min(x + 7, x1), y, (red, green, blue))
        self.rectangle(0, top, width, top + high * 0.2, color)
        self._lettering(width, top + high * 0.06, top + high * 0.15, color)
        if self.rng.random() < 0.4:
            for stripe, x in enumerate(range(0, width, 8)):
                cloth = color if stripe % 2 else (236, 232, 224)
                self.rectangle(x, top + high * 0.2, x + 7, top + high * 0.34, cloth)

    def _lettering(self, width: int, top: float, bottom: float, color: Color) -> None:
        ink: Color = (240, 238, 230) if sum(color) < 420 else (40, 40, 44)
        x, end = width * 0.25, width * 0.75
        while x < end:
            wide = float(self.rng.uniform(3, 7))
            self.rectangle(x, top, x + wide, bottom, ink)
            x += wide + 3

    def cornice(self) -> None:
        width = self.picture.shape[1]
        self.rectangle(0, 0, width, 5, dim(self.frame, 0.85))
        self.rectangle(0, 6, width, 7, (86, 82, 78))
        for x in (1.0, width - 3.0):  # a drain pipe or a party wall
            self.rectangle(x, 6, x + 1, self.picture.shape[0], (98, 94, 90))
