# SPDX-License-Identifier: Apache-2.0
"""What the moving things stand before: sky, ground with its shadows, houses and gardens."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from frankensplit.data.street import textures
from frankensplit.data.street.canvas import SUPERSAMPLING
from frankensplit.data.street.classes import BUILDING, ROAD
from frankensplit.data.street.light import Light
from frankensplit.data.street.scene import FAR_M, NEAR_M, Scene
from frankensplit.data.street.textures import GROUND_ACROSS_M, GROUND_X_PX_M, GROUND_Z_PX_M, Layout
from frankensplit.data.street.world import JUNCTION, Front, House, Lot, Section

Array = NDArray[Any]
SIDE_STREET_M = 55.0
HOUSE_DEPTH_M = 10.0
_BANDS_M = ((0.0, 9.0, 0.0), (9.0, 22.0, 0.7), (22.0, 1e9, 3.0))  # from, to, blur along the street


class StreetBackdrop:
    """Sky and ground of one street."""

    def __init__(
        self, rng: np.random.Generator, light: Light, layout: Layout, height: int, width: int
    ) -> None:
        self._layout = layout
        high, wide = int(height * SUPERSAMPLING * 0.62), int(width * SUPERSAMPLING * 1.7)
        self._sky = textures.sky(rng, light, high, wide)
        flat = textures.ground(rng, layout)
        flat[..., :3] = np.clip(flat[..., :3] * 0.96, 0, 255)
        self._ground = [_blurred(flat, metres) for _, _, metres in _BANDS_M]
        self._road = flat[:, flat.shape[1] // 2 + 20, :3].mean(axis=0)

    def draw(self, scene: Scene, sections: list[Section]) -> None:
        """Draw the sky, the ground, side streets and cast shadows."""
        self._draw_sky(scene)
        self._draw_ground(scene)
        for section in sections:
            if section.junction is not None:
                self._side_street(scene, section.junction)
        if scene.light.shadow < 0.95:
            self._shadows(scene, sections)

    def _draw_sky(self, scene: Scene) -> None:
        canvas, camera = scene.canvas, scene.camera
        horizon = int(np.clip(np.ceil(camera.horizon), 0, canvas.height - 1)) + 1
        shift = int((self._sky.shape[1] - canvas.width) / 2 + camera.yaw * camera.focal)
        left = int(np.clip(shift, 0, self._sky.shape[1] - canvas.width))
        rows = np.clip(np.arange(horizon) + self._sky.shape[0] - horizon, 0, None)
        canvas.pixels[:horizon] = self._sky[rows, left : left + canvas.width]

    def _draw_ground(self, scene: Scene) -> None:
        """Look up each pixel below the horizon in the ground texture, coarser with distance."""
        canvas, camera = scene.canvas, scene.camera
        first = int(np.clip(np.ceil(camera.horizon) + 2, 0, canvas.height))
        rows = np.arange(first, canvas.height)
        depth = camera.y * camera.focal / np.maximum(rows - camera.horizon, 0.5)
        ray = (np.arange(canvas.width) - camera.center) / camera.focal
        for (near, far, _), texture in zip(_BANDS_M, self._ground, strict=True):
            inside = np.flatnonzero((depth >= near) & (depth < far))
            if inside.size:
                part = slice(first + inside[0], first + inside[-1] + 1)
                maps = _ground_maps(scene, depth[inside], ray)
                canvas.pixels[part] = cv2.remap(texture, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)

    def _side_street(self, scene: Scene, near: float) -> None:
        far = near + JUNCTION[1] - JUNCTION[0]
        near = max(near, scene.camera.z + 1.5)
        if far - near < 0.5 or scene.ahead(near) > FAR_M:
            return
        paint = scene.paint(tuple(self._road), ROAD, 1.0, scene.ahead(near))
        for side in (-1, 1):
            kerb, end = side * (self._layout.road - 0.05), side * SIDE_STREET_M
            corners = np.array([(kerb, 0, near), (end, 0, near), (end, 0, far), (kerb, 0, far)])
            uv, _ = scene.project(corners)
            scene.canvas.convex(uv, paint)

    def _shadows(self, scene: Scene, sections: list[Section]) -> None:
        """Darken the ground where things stand in the sun, with soft edges."""
        canvas = scene.canvas
        first = int(np.clip(np.ceil(scene.camera.horizon), 0, canvas.height - 2))
        small = np.full(((canvas.height - first) // 2 + 1, canvas.width // 2), 255, np.uint8)
        for outline in _outlines(scene, sections, self._layout):
            uv, depth = scene.project(outline)
            if depth.min() > 0.5:
                at = np.clip((uv - (0, first)) / 2, -8000, 8000)
                cv2.fillPoly(
                    small, [np.rint(at * 8).astype(np.int32)], int(255 * scene.light.shadow), shift=3
                )
        soft = cv2.resize(cv2.blur(small, (5, 5)), (canvas.width, canvas.height - first))
        ground = canvas.pixels[first:]
        dimmed = cv2.multiply(ground, cv2.merge([soft, soft, soft, np.full_like(soft, 255)]), scale=1 / 255)
        canvas.pixels[first:] = dimmed


def _blurred(texture: Array, metres: float) -> Array:
    if metres == 0.0:
        return texture
    rows = int(metres * GROUND_Z_PX_M)
    around = np.concatenate([texture[-rows:], texture, texture[:rows]])
    return np.ascontiguousarray(cv2.blur(around, (3, rows))[rows:-rows])


def _ground_maps(scene: Scene, depth: Array, ray: Array) -> tuple[Array, Array]:
    """Return where in the ground texture the pixels of rows at ``depth`` lie; a row's bend is straight."""
    camera, bend = scene.camera, scene.bend
    cos, sin = np.cos(camera.yaw), np.sin(camera.yaw)
    middle = camera.z + depth * cos
    slope = bend.slope(middle)
    across = camera.x + depth * sin - bend.offset(middle)
    step = depth * cos + depth * sin * slope  # metres across per unit of ray
    map_x = _outer((across + GROUND_ACROSS_M) * GROUND_X_PX_M, step * GROUND_X_PX_M, ray)
    start = np.mod(middle, textures.GROUND_PERIOD_M) * GROUND_Z_PX_M
    map_z = _outer(start, -depth * sin * GROUND_Z_PX_M, ray)
    return map_x.clip(2, 2 * GROUND_ACROSS_M * GROUND_X_PX_M - 3, out=map_x), map_z


def _outer(base: Array, step: Array, ray: Array) -> Array:
    """Return base + step * ray as float32, a row for each base."""
    return np.asarray(
        base.astype(np.float32)[:, None] + step.astype(np.float32)[:, None] * ray.astype(np.float32)
    )


def _outlines(scene: Scene, sections: list[Section], layout: Layout) -> list[Array]:
    """Return ground outlines of shadows: cars everywhere, the rest where the sun shines."""
    outlines = []
    sideways, along = scene.light.sun
    for section in sections:
        for mesh, across, z, _ in section.parked:
            half, long = mesh.shape.width + 0.1, mesh.shape.length + 0.1
            near, far = z - long + min(0, along), z + long + max(0, along)
            left, right = across - half + min(0, sideways), across + half + max(0, sideways)
            outlines.append(np.array([(left, 0, near), (right, 0, near), (right, 0, far), (left, 0, far)]))
        if sideways == along == 0.0:
            continue
        for item in section.items:
            high, wide = item.shadow
            if item.along + min(0.0, along * high) > scene.camera.z + NEAR_M:
                outlines.append(_item_shadow(item.across, item.along, high, wide, (sideways, along)))
        shading = [lot.house for lot in section.lots if lot.house is not None and sideways * lot.side < 0]
        outlines.extend(_house_shadow(scene, house, sideways, along) for house in shading)
    return outlines


def _item_shadow(across: float, z: float, high: float, wide: float, sun: tuple[float, float]) -> Array:
    tip = np.array([across + sun[0] * high, 0.0, z + sun[1] * high])
    foot = np.array([across, 0.0, z])
    turn = np.linspace(0, 2 * np.pi, 11)[:-1]
    blob = np.stack([np.cos(turn) * wide / 2, np.zeros(10), np.sin(turn) * wide / 1.6], axis=1)
    if wide < 1:
        half, slim = np.array([wide / 2, 0, 0]), np.array([0.1, 0, 0])
        return np.stack([foot - half, foot + half, tip + slim, tip - slim])
    return np.asarray(foot + (tip - foot) * 0.7 + blob * 1.3)


def _house_shadow(scene: Scene, house: House, sideways: float, along: float) -> Array:
    front, height = house.front, house.front.height
    near = max(front.start, scene.camera.z + NEAR_M)
    far = max(front.end, near + 0.1)
    shift = np.array([sideways * height, 0, along * height])
    edge = np.array([(front.across, 0.0, near), (front.across, 0.0, far)])
    tips = edge + shift
    tips[:, 2] = np.maximum(tips[:, 2], scene.camera.z + NEAR_M)
    return np.concatenate([edge, tips[::-1]])


def draw_lot(scene: Scene, lot: Lot) -> None:
    """Draw what stands behind, the house, and the border to the pavement."""
    for item in lot.behind:
        item.draw(scene)
    if lot.house is not None:
        _draw_house(scene, lot.house, lot.side)
    if lot.border is not None:
        draw_front(scene, lot.border)


def draw_front(scene: Scene, front: Front) -> None:
    """Warp a flat texture along the street, cut off where it passes the camera."""
    near = max(front.start, scene.camera.z + NEAR_M)
    if front.end - near < 0.05 or scene.ahead(front.start) > FAR_M + 40:
        return
    points = [
        (front.across, up, z)
        for z, up in ((near, 0), (near, front.height), (front.end, front.height), (front.end, 0))
    ]
    uv, depth = scene.project(np.array(points, float))
    if depth.min() > 0.3:
        begin = (near - front.start) / (front.end - front.start)
        label = int(front.mips[-1][0, 0, 3])
        haze = scene.paint(scene.light.horizon, label)
        scene.canvas.quad(front.mips, (begin, 1.0), uv, haze, scene.haze(float(depth.mean())))


def _draw_house(scene: Scene, house: House, side: int) -> None:
    front, facade = house.front, house.facade
    if scene.ahead(front.end) < NEAR_M or scene.ahead(front.start) > FAR_M + 40:
        return
    inward = front.across + side * HOUSE_DEPTH_M
    ridge = front.across + side * HOUSE_DEPTH_M / 2
    rise = front.height + (2.6 if facade.pitched else 0.0)
    near = max(front.start, scene.camera.z + NEAR_M)
    distance = scene.ahead(near)
    if facade.pitched:
        roof = [
            (front.across, front.height, near),
            (ridge, rise, near),
            (ridge, rise, front.end),
            (front.across, front.height, front.end),
        ]
        uv, _ = scene.project(np.array(roof, float))
        slate = (96, 84, 80) if sum(facade.wall) < 420 else (122, 78, 62)
        scene.canvas.convex(uv, scene.paint(slate, BUILDING, 0.95, distance))
    draw_front(scene, front)
    if scene.ahead(front.start) > NEAR_M:
        end = [
            (front.across, 0, near),
            (front.across, front.height, near),
            (ridge, rise, near),
            (inward, front.height, near),
            (inward, 0, near),
        ]
        uv, _ = scene.project(np.array(end, float))
        scene.canvas.convex(uv, scene.paint(facade.wall, BUILDING, scene.light.facing * 0.92, distance))
