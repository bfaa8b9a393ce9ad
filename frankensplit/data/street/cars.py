# SPDX-License-Identifier: Apache-2.0
"""Cars, vans and buses as small convex meshes, seen from any side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from frankensplit.data.street.classes import CAR
from frankensplit.data.street.light import Color, Light, dim
from frankensplit.data.street.scene import Scene

Array = NDArray[Any]
Outline = list[tuple[float, float]]
BODY: tuple[Color, ...] = (
    (178, 180, 184),
    (206, 208, 210),
    (232, 232, 230),
    (48, 50, 54),
    (28, 30, 34),
    (36, 52, 96),
    (58, 84, 138),
    (148, 28, 30),
    (188, 36, 34),
    (40, 78, 62),
    (120, 124, 128),
    (196, 164, 62),
    (92, 60, 48),
)
GLASS: Color = (58, 70, 82)
TYRE: Color = (26, 26, 28)


@dataclass(frozen=True)
class Shape:
    """Half length, half width and the cabin's outline in metres; the nose points to +length."""

    length: float
    width: float
    belt: float
    roof: float
    tail: float  # the cabin's rear foot
    tail_top: float
    brow_top: float
    brow: float  # the cabin's front foot
    hood: float  # height of the nose


@dataclass(frozen=True)
class Mesh:
    """Faces of one car: points ``(N, 3)`` as (forward, up, left), their normals and colours."""

    points: Array
    starts: Array
    normals: Array
    centers: Array
    colors: list[Color]
    shape: Shape
    parts: tuple[slice, ...]  # points of each convex part


def _shapes(rng: np.random.Generator) -> Shape:
    kind, jitter = int(rng.choice(4, p=[0.4, 0.34, 0.2, 0.06])), float(rng.uniform(0.95, 1.06))
    hatch = Shape(1.95 * jitter, 0.84, 0.92, 1.48 * jitter, -1.85, -1.45, 0.25, 1.05, 0.74)
    sedan = Shape(2.25 * jitter, 0.88, 0.92, 1.43 * jitter, -1.5, -0.95, 0.25, 1.0, 0.74)
    van = Shape(2.4 * jitter, 0.95, 1.1, 2.05 * jitter, -2.38, -2.3, 1.0, 1.75, 0.98)
    bus = Shape(4.6, 1.22, 1.25, 3.0 * jitter, -4.58, -4.5, 4.4, 4.58, 1.2)
    return (hatch, sedan, van, bus)[kind]


def draw_car(rng: np.random.Generator, light: Light) -> Mesh:
    """Draw a car's shape and colours."""
    shape = _shapes(rng)
    body = BODY[int(rng.choice(len(BODY)))]
    if shape.length > 4:
        body = ((176, 30, 32), (40, 90, 130), (214, 208, 196))[int(rng.integers(3))]
    builder = _Builder()
    _lower(builder, shape, body, light)
    _wheels(builder, shape)
    _cabin(builder, shape, body)
    return builder.mesh(shape)


class _Builder:
    def __init__(self) -> None:
        self.faces: list[tuple[Array, Color]] = []
        self.cabin = 0  # the cabin's first face

    def face(self, points: Array | list[tuple[float, float, float]], color: Color) -> None:
        self.faces.append((np.asarray(points, float), color))

    def sides(self, outline: Outline, width: float, color: Color) -> None:
        for side in (-width, width):
            self.face([(along, up, side) for along, up in outline], color)

    def across(
        self, a: tuple[float, float], b: tuple[float, float], wide: tuple[float, float], color: Color
    ) -> None:
        """A face over the car's width between two points of its profile."""
        (al, ay), (bl, by) = a, b
        self.face([(al, ay, -wide[0]), (bl, by, -wide[1]), (bl, by, wide[1]), (al, ay, wide[0])], color)

    def mesh(self, shape: Shape) -> Mesh:
        points = np.concatenate([points for points, _ in self.faces])
        starts = np.cumsum([0] + [len(points) for points, _ in self.faces])
        centers = np.stack([points.mean(axis=0) for points, _ in self.faces])
        normals = np.stack([np.cross(p[1] - p[0], p[2] - p[0]) for p, _ in self.faces])
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        outward = np.sign(((centers - (0, 0.6, 0)) * normals).sum(axis=1, keepdims=True))
        # The first two faces are the sides below the windows; the cabin is what lies above the belt.
        lower = slice(0, int(starts[2]))
        cabin = slice(int(starts[self.cabin]), int(starts[-1]))
        colors = [color for _, color in self.faces]
        return Mesh(points, starts, normals * outward, centers, colors, shape, (lower, cabin))


def _lower(build: _Builder, shape: Shape, body: Color, light: Light) -> None:
    end, belt, wide, nose = shape.length, shape.belt, shape.width, shape.hood
    dark = dim(body, 0.35)
    outline = [(-end, 0.25), (-end, belt - 0.1), (-end + 0.08, belt), (shape.brow, belt)]
    build.sides([*outline, (end - 0.12, nose), (end, nose - 0.12), (end, 0.25)], wide, body)
    build.sides([(-end, 0.22), (-end, 0.36), (end, 0.36), (end, 0.22)], wide + 0.005, dark)
    build.across((-end, 0.25), (-end, belt), (wide, wide), body)
    build.across((end, 0.25), (end, nose), (wide, wide), body)
    build.across((-end, belt), (shape.tail, belt + 0.02), (wide, wide * 0.97), body)
    build.across((shape.brow, belt), (end, nose), (wide * 0.97, wide), body)
    for along in (-end - 0.01, end + 0.01):
        build.across((along, 0.22), (along, 0.38), (wide, wide), dark)
        plate: Color = (226, 196, 70) if along < 0 else (232, 232, 226)
        build.across((along, 0.5), (along, 0.61), (0.26, 0.26), plate)
    build.across((end + 0.01, 0.4), (end + 0.01, 0.48), (wide * 0.6, wide * 0.6), (30, 30, 32))
    red: Color = (235, 48, 36) if light.lamps else (172, 28, 26)
    white: Color = (255, 252, 232) if light.lamps else (218, 220, 218)
    for side in (-1, 1):
        inner, outer = side * wide * 0.72, side * wide * 0.98
        _lamp(build, -end - 0.01, (belt - 0.28, belt - 0.06), (inner, outer), red)
        _lamp(build, end + 0.01, (nose - 0.2, nose - 0.06), (inner * 0.92, outer), white)


def _lamp(
    build: _Builder, at: float, up: tuple[float, float], across: tuple[float, float], color: Color
) -> None:
    build.face(
        [(at, up[0], across[0]), (at, up[1], across[0]), (at, up[1], across[1]), (at, up[0], across[1])],
        color,
    )


def _wheels(build: _Builder, shape: Shape) -> None:
    turn = np.linspace(0, 2 * np.pi, 13)[:-1]
    for axle in (-0.6 * shape.length, 0.62 * shape.length):
        for side in (-1, 1):
            for radius, out, color in (
                (0.33, 0.01, TYRE),
                (0.2, 0.02, (142, 144, 148)),
                (0.06, 0.03, (60, 60, 62)),
            ):
                rim = np.full(12, side * (shape.width + out))
                build.face(
                    np.stack([axle + radius * np.cos(turn), 0.33 + radius * np.sin(turn), rim], axis=1), color
                )


def _cabin(build: _Builder, shape: Shape, body: Color) -> None:
    belt, roof, low, high = shape.belt, shape.roof, shape.width * 0.97, shape.width * 0.8
    build.cabin = len(build.faces)
    tail, tail_top, brow_top, brow = shape.tail, shape.tail_top, shape.brow_top, shape.brow
    build.across((tail, belt), (tail_top, roof), (low, high), body)
    build.across((tail_top, roof), (brow_top, roof), (high, high), body)
    build.across((brow, belt), (brow_top, roof), (low, high), body)
    for side in (-1, 1):
        corners = [(tail, belt, low), (tail_top, roof, high), (brow_top, roof, high), (brow, belt, low)]
        build.face([(along, up, side * wide) for along, up, wide in corners], body)
        _side_windows(build, shape, side, low, high)
    for (foot, top), share in (((tail, tail_top), 0.86), ((brow, brow_top), 0.9)):
        a, b = 0.14, 0.9
        glass = [(foot + (top - foot) * t, belt + (roof - belt) * t) for t in (a, b)]
        widths = [(low + (high - low) * t) * share for t in (a, b)]
        out = 0.02 if foot > 0 else -0.02
        first, second = (glass[0][0] + out, glass[0][1]), (glass[1][0] + out, glass[1][1] + 0.01)
        build.across(first, second, (widths[0], widths[1]), GLASS)
        middle = (first[0] * 0.45 + second[0] * 0.55 + out / 4, first[1] * 0.45 + second[1] * 0.55)
        build.across(middle, second, (widths[0] * 0.45 + widths[1] * 0.55, widths[1]), (104, 122, 138))


def _side_windows(build: _Builder, shape: Shape, side: int, low: float, high: float) -> None:
    bottom, top = 0.12, 0.86
    rear = [shape.tail + (shape.tail_top - shape.tail) * t + 0.16 for t in (bottom, top)]
    front = [shape.brow + (shape.brow_top - shape.brow) * t - 0.14 for t in (bottom, top)]
    panes = max(2, round((front[1] - rear[1]) / 0.9))
    heights = [shape.belt + (shape.roof - shape.belt) * t for t in (bottom, top)]
    widths = [side * (low + (high - low) * t + 0.012) for t in (bottom, top)]
    for pane in range(panes):
        a, b = pane / panes, (pane + 1) / panes - 0.04
        foot = [rear[0] + (front[0] - rear[0]) * t for t in (a, b)]
        head = [rear[1] + (front[1] - rear[1]) * t for t in (a, b)]
        quad = [(foot[0], heights[0], widths[0]), (head[0], heights[1], widths[1])]
        build.face([*quad, (head[1], heights[1], widths[1]), (foot[1], heights[0], widths[0])], GLASS)


def paint_car(scene: Scene, mesh: Mesh, across: float, along: float, heading: float) -> None:
    """Draw a car at street coordinates; ``heading`` 0 drives away from the camera's start, pi towards it."""
    if not NEAREST_M < scene.ahead(along) < 115:
        return
    turn = heading + np.arctan(scene.bend.slope(along))
    at = scene.world(np.array([[across, 0.0, along]]))[0]
    rotate = np.array([[np.sin(turn), 0, np.cos(turn)], [0, 1, 0], [-np.cos(turn), 0, np.sin(turn)]])
    # Local (forward, up, left) to world (x, y, z).
    uv, depth = scene.camera.project(mesh.points @ rotate + at)
    if depth.min() < 0.8 or uv[:, 0].max() < 0 or uv[:, 0].min() > scene.canvas.width:
        return
    _contact(scene, mesh.shape, rotate, at)
    normals = mesh.normals @ rotate
    eye = np.array([scene.camera.x, scene.camera.y, scene.camera.z])
    towards = ((eye - (mesh.centers @ rotate + at)) * normals).sum(axis=1)
    distance = float(depth.mean())
    seen = np.flatnonzero(towards > 0)
    paints = scene.paints(
        [mesh.colors[index] for index in seen], CAR, _brightness(scene.light, normals[seen]), distance
    )
    seams = scene.paint(mesh.colors[0], CAR, 0.5, distance)
    for part in mesh.parts:  # a silhouette first, so that no background shows through the seams
        scene.canvas.convex(cv2.convexHull(uv[part].astype(np.float32))[:, 0], seams)
    for index, paint in zip(seen, paints, strict=True):
        scene.canvas.polygon(uv[mesh.starts[index] : mesh.starts[index + 1]], paint)


NEAREST_M = 1.0


def _contact(scene: Scene, shape: Shape, rotate: Array, at: Array) -> None:
    """Darken what is seen below the floor: from the camera it belongs to the car."""
    long, wide = shape.length * 0.96, shape.width * 0.97
    for up in (0.02, 0.24):
        corners = np.array([(-long, up, -wide), (long, up, -wide), (long, up, wide), (-long, up, wide)])
        uv, depth = scene.camera.project(corners @ rotate + at)
        scene.canvas.convex(uv, scene.paint((20, 20, 22), CAR, 1.0, float(depth.mean())))


def _brightness(light: Light, normals: Array) -> Array:
    x, y, z = normals.T
    side = np.where(x > 0, light.sides[0], light.sides[1])
    end = np.where(z < 0, light.facing, 0.85)
    return np.asarray(x * x * side + z * z * end + y * y * np.where(y > 0, 1.12, 0.5))
