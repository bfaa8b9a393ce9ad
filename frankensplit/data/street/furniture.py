# SPDX-License-Identifier: Apache-2.0
"""What stands on the pavement: trees, street lamps, signs, traffic lights, bollards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frankensplit.data.street.classes import POLE, SIGN, TREE
from frankensplit.data.street.light import Color
from frankensplit.data.street.scene import FAR_M, NEAR_M, Scene

Array = NDArray[Any]
Sprite = tuple[Array, Array]
METAL: tuple[Color, ...] = ((92, 98, 100), (58, 62, 64), (132, 138, 140), (60, 84, 74))


def _by(right: float, down: float) -> Array:
    """A step in pixels."""
    return np.array([right, down])


@dataclass(frozen=True)
class Item:
    """One standing thing: street coordinates, a drawing, and the height and width of its shadow."""

    across: float
    along: float
    paint: Callable[[Scene, Array, float, float], None]  # scene, foot in pixels, pixels a metre, depth
    shadow: tuple[float, float]

    def draw(self, scene: Scene) -> None:
        """Draw the item unless it is behind the camera or too far to matter."""
        if not NEAR_M < scene.ahead(self.along) < FAR_M:
            return
        uv, depth = scene.project(np.array([[self.across, 0.0, self.along]]))
        if depth[0] > NEAR_M:
            self.paint(scene, uv[0], scene.scale(float(depth[0])), float(depth[0]))


def tree(rng: np.random.Generator, sprites: list[Sprite], across: float, along: float) -> Item:
    """A trunk, a few boughs and a crown."""
    texture, alpha = sprites[int(rng.integers(len(sprites)))]
    if rng.random() < 0.5:
        texture, alpha = np.ascontiguousarray(texture[:, ::-1]), np.ascontiguousarray(alpha[:, ::-1])
    wide, high, clear = rng.uniform(1.7, 3.2), rng.uniform(3.5, 6.5), rng.uniform(1.8, 3.0)
    trunk, bark = rng.uniform(0.2, 0.45), np.array([96, 82, 66]) * rng.uniform(0.6, 1.1)

    def paint(scene: Scene, foot: Array, scale: float, depth: float) -> None:
        color = scene.paint(tuple(bark), TREE, scene.light.facing, depth)
        fork = foot - _by(0, (clear + 0.9) * scale)
        half = np.array([trunk / 2 * scale, 0])
        scene.canvas.convex(
            np.array([foot - half * 1.25, foot + half * 1.25, fork + half * 0.7, fork - half * 0.7]), color
        )
        for reach in (-0.5, -0.15, 0.4):
            scene.canvas.line(
                fork, fork + np.array([wide * reach, -high * 0.4]) * scale, trunk * 0.35 * scale, color
            )
        top, low = foot[1] - (clear + high) * scale, foot[1] - clear * scale
        box = np.array([foot[0] - wide * scale, top, foot[0] + wide * scale, low])
        scene.canvas.sprite(texture, alpha, box)

    return Item(across, along, paint, (clear + high * 0.8, 1.4 * wide))


def lamp(rng: np.random.Generator, across: float, along: float) -> Item:
    """A street lamp that leans its arm over the road."""
    high, arm = rng.uniform(6.5, 9.5), -np.sign(across) * rng.uniform(0.7, 2.0)
    metal = METAL[int(rng.integers(len(METAL)))]
    thick = rng.uniform(0.13, 0.2)

    def paint(scene: Scene, foot: Array, scale: float, depth: float) -> None:
        color = scene.paint(metal, POLE, 0.95, depth)
        top = foot - _by(0, high * scale)
        scene.canvas.line(foot, foot - _by(0, 1.2 * scale), thick * 1.5 * scale, color)
        scene.canvas.line(foot, top, thick * scale, color)
        end = top + np.array([arm, -0.25]) * scale
        scene.canvas.line(top, end, thick * 0.7 * scale, color)
        glow: Color = (255, 236, 178) if scene.light.lamps else (186, 188, 184)
        head = end + np.array([0.35 * np.sign(arm), 0.02]) * scale
        scene.canvas.line(end, head, 0.17 * scale, scene.paint(glow, POLE, 1.0, depth))

    return Item(across, along, paint, (high, 0.25))


def bollard(rng: np.random.Generator, across: float, along: float) -> Item:
    """A short post."""
    high, color = rng.uniform(0.8, 1.1), METAL[int(rng.integers(len(METAL)))]

    def paint(scene: Scene, foot: Array, scale: float, depth: float) -> None:
        top = foot - _by(0, high * scale)
        scene.canvas.line(foot, top, 0.17 * scale, scene.paint(color, POLE, 0.8, depth))
        band = foot - _by(0, high * 0.8 * scale)
        scene.canvas.line(
            band, band - _by(0, 0.05 * scale), 0.19 * scale, scene.paint((214, 196, 96), POLE, 1.0, depth)
        )

    return Item(across, along, paint, (high, 0.2))


def sign(rng: np.random.Generator, across: float, along: float) -> Item:
    """A traffic sign, a notice board or an advertisement on a post."""
    kind = int(rng.choice(5, p=[0.26, 0.2, 0.18, 0.2, 0.16]))
    high = float(rng.uniform(2.3, 3.2))
    board = (_disc_sign, _blue_disc, _triangle, _panel, _poster)[kind]
    hue = tuple(rng.uniform(30, 210, 3).tolist())
    size = float(rng.uniform(0.33, 0.55))

    def paint(scene: Scene, foot: Array, scale: float, depth: float) -> None:
        top = foot - _by(0, high * scale)
        post = scene.paint((124, 128, 130), POLE, 0.9, depth)
        scene.canvas.line(foot, top, 0.09 * scale, post)
        board(scene, top, size * scale, depth, hue)

    return Item(across, along, paint, (high, 0.5))


def _disc_sign(scene: Scene, top: Array, size: float, depth: float, hue: Color) -> None:
    scene.canvas.disc(top, size, scene.paint((196, 34, 36), SIGN, 1.0, depth))
    scene.canvas.disc(top, size * 0.74, scene.paint((236, 234, 228), SIGN, 1.0, depth))
    mark = scene.paint((36, 36, 40), SIGN, 1.0, depth)
    for shift in (-0.25, 0.25):
        at = top + _by(shift * size, 0)
        scene.canvas.line(at - _by(0, 0.3 * size), at + _by(0, 0.3 * size), 0.18 * size, mark)


def _blue_disc(scene: Scene, top: Array, size: float, depth: float, hue: Color) -> None:
    scene.canvas.disc(top, size, scene.paint((232, 232, 230), SIGN, 1.0, depth))
    scene.canvas.disc(top, size * 0.92, scene.paint((30, 78, 160), SIGN, 1.0, depth))
    arrow = scene.paint((236, 236, 236), SIGN, 1.0, depth)
    scene.canvas.line(
        top + np.array([-0.4, -0.3]) * size, top + np.array([0.35, 0.4]) * size, 0.2 * size, arrow
    )


def _triangle(scene: Scene, top: Array, size: float, depth: float, hue: Color) -> None:
    for factor, color in ((1.25, (196, 34, 36)), (0.8, (238, 236, 230))):
        corners = np.array([(0, -1.0), (0.95, 0.65), (-0.95, 0.65)]) * size * factor + top
        scene.canvas.convex(corners, scene.paint(color, SIGN, 1.0, depth))
    mark = scene.paint((36, 36, 40), SIGN, 1.0, depth)
    scene.canvas.line(top - _by(0, 0.25 * size), top + _by(0, 0.3 * size), 0.16 * size, mark)


def _panel(scene: Scene, top: Array, size: float, depth: float, hue: Color) -> None:
    _board(scene, top, (size * 1.5, size * 1.15), depth, (22, 92, 66) if hue[0] > 120 else (34, 66, 140))


def _poster(scene: Scene, top: Array, size: float, depth: float, hue: Color) -> None:
    _board(scene, top + _by(0, size), (size * 1.3, size * 2.0), depth, hue)


def _board(scene: Scene, at: Array, half: tuple[float, float], depth: float, color: Color) -> None:
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * half
    scene.canvas.convex(at + corners, scene.paint((228, 228, 224), SIGN, 1.0, depth))
    scene.canvas.convex(at + corners * 0.92, scene.paint(color, SIGN, 1.0, depth))
    ink = scene.paint((232, 230, 222), SIGN, 1.0, depth)
    for row, end in ((-0.5, 0.55), (-0.05, 0.2), (0.4, 0.65)):
        left, right = at + np.array([-0.7, row]) * half, at + np.array([end, row]) * half
        scene.canvas.line(left, right, 0.16 * half[1], ink)


def signal(rng: np.random.Generator, across: float, along: float) -> Item:
    """A traffic light; its colour changes with time."""
    phase, high = rng.uniform(0, 20), rng.uniform(2.6, 3.4)

    def paint(scene: Scene, foot: Array, scale: float, depth: float) -> None:
        top = foot - _by(0, high * scale)
        scene.canvas.line(foot, top, 0.12 * scale, scene.paint((72, 76, 78), POLE, 0.9, depth))
        box = np.array([(-0.2, -0.55), (0.2, -0.55), (0.2, 0.55), (-0.2, 0.55)]) * scale + top
        scene.canvas.convex(box, scene.paint((30, 32, 32), SIGN, 1.0, depth))
        state = int((scene.time + phase) % 20 // 8)  # red 8 s, green 8 s, amber 4 s
        for lamp_index, bright, dull in (
            (0, (255, 60, 44), (76, 26, 24)),
            (2, (255, 190, 60), (80, 60, 24)),
            (1, (70, 235, 150), (22, 66, 44)),
        ):
            up = {0: -0.33, 2: 0.0, 1: 0.33}[lamp_index]
            color = bright if lamp_index == state else dull
            scene.canvas.disc(top + _by(0, up * scale), 0.13 * scale, scene.paint(color, SIGN, 1.0, depth))

    return Item(across, along, paint, (high, 0.4))
