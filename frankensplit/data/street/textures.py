# SPDX-License-Identifier: Apache-2.0
"""Noise and the textures made of it: ground, sky, tree crowns, fences. Label is the fourth channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from frankensplit.data.street.classes import BUILDING, FENCE, PAVEMENT, ROAD, SKY, TREE
from frankensplit.data.street.light import Color, Light

Array = NDArray[Any]
GROUND_ACROSS_M = 20.0  # the ground texture reaches this far to each side
GROUND_PERIOD_M = 48.0
GROUND_X_PX_M, GROUND_Z_PX_M = 16, 12


def fractal(rng: np.random.Generator, height: int, width: int, octaves: int = 4, coarsest: int = 4) -> Array:
    """Return smooth noise float32 ``(height, width)`` of zero mean and about unit spread."""
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        cells = coarsest * 2**octave
        grid = rng.standard_normal((max(2, cells * height // max(height, width)), cells)).astype(np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) / 2**octave
    return total / max(float(total.std()), 1e-6)


def labelled(color: Array, label: int) -> Array:
    """Return uint8 ``(H, W, 4)``: clipped colour with a constant class."""
    height, width = color.shape[:2]
    out = np.full((height, width, 4), label, np.uint8)
    out[..., :3] = np.clip(color, 0, 255)
    return out


@dataclass(frozen=True)
class Layout:
    """The street's cross-section in metres from its centre line."""

    road: float  # half width of the road
    pavement: float  # width of each pavement
    verge: bool  # grass behind the pavement instead of paving
    yellow: bool  # yellow lines at the kerb

    @property
    def front(self) -> float:
        """Distance of the building line from the centre line."""
        return self.road + self.pavement


def ground(rng: np.random.Generator, layout: Layout) -> Array:
    """Draw one period of road, markings, kerbs, pavements and what lies behind; rows are z, columns are x."""
    rows, columns = int(GROUND_PERIOD_M * GROUND_Z_PX_M), int(2 * GROUND_ACROSS_M * GROUND_X_PX_M)
    across = np.abs((np.arange(columns) + 0.5) / GROUND_X_PX_M - GROUND_ACROSS_M)
    picture = np.zeros((rows, columns, 4), np.float32)
    for part, paint in ((across < layout.road, _asphalt), (across >= layout.road, _slabs)):
        picture[:, part] = paint(rng, rows, int(part.sum()))
    behind = across > layout.front
    picture[:, behind] = _grass(rng, rows, int(behind.sum())) if layout.verge else picture[:, behind] * 0.93
    picture[:, behind, 3] = TREE if layout.verge else PAVEMENT
    kerb = (across >= layout.road) & (across < layout.road + 0.16)
    picture[:, kerb, :3] = picture[:, kerb, :3] * 0.3 + 125
    gutter = (across < layout.road) & (across > layout.road - 0.14)
    picture[:, gutter, :3] *= 0.72
    _markings(rng, picture, across, layout)
    return np.clip(picture, 0, 255).astype(np.uint8)


def _asphalt(rng: np.random.Generator, rows: int, columns: int) -> Array:
    tone = rng.uniform(88, 135)
    value = tone + 5 * fractal(rng, rows, columns, 5) + rng.normal(0, 6, (rows, columns))
    wear = np.cos(np.linspace(0, 4 * np.pi, columns))[None] * 4
    color = (value + wear)[..., None] * (1.0, 1.0, rng.uniform(0.98, 1.06))
    for _ in range(int(rng.integers(1, 5))):  # patches of newer asphalt, and covers
        y, x = int(rng.integers(rows)), int(rng.integers(columns))
        high, wide = int(rng.integers(8, 60)), int(rng.integers(6, 40))
        color[y : y + high, x : x + wide] *= rng.uniform(0.78, 0.95)
        cv2.circle(color, (int(rng.integers(columns)), int(rng.integers(rows))), 4, (tone * 0.78,) * 3, -1)
    for _ in range(3):  # cracks
        walk = np.cumsum(rng.normal((0, 2), 1.2, (40, 2)), axis=0) + rng.uniform(0, columns, 2)
        cv2.polylines(color, [walk.astype(np.int32)], False, (tone * 0.7,) * 3)
    return np.dstack([color, np.full((rows, columns), ROAD)])


def _slabs(rng: np.random.Generator, rows: int, columns: int) -> Array:
    pitch_z, pitch_x = int(rng.integers(6, 12)), int(rng.integers(8, 16))
    tone = np.array([1.0, rng.uniform(0.95, 1.0), rng.uniform(0.86, 1.0)]) * rng.uniform(128, 178)
    cells = rng.normal(0, 6, (rows // pitch_z + 1, columns // pitch_x + 1))
    each = np.repeat(np.repeat(cells, pitch_z, axis=0), pitch_x, axis=1)[:rows, :columns]
    color = tone + (each + 5 * fractal(rng, rows, columns) + rng.normal(0, 4, (rows, columns)))[..., None]
    color[::pitch_z] *= 0.85
    color[:, ::pitch_x] *= 0.85
    return np.dstack([color, np.full((rows, columns), PAVEMENT)])


def _grass(rng: np.random.Generator, rows: int, columns: int) -> Array:
    base = np.array([92, 118, 58]) * rng.uniform(0.8, 1.15)
    speckle = 14 * fractal(rng, rows, columns, 5) + rng.normal(0, 12, (rows, columns))
    return np.dstack([base + speckle[..., None] * (1, 1, 0.6), np.full((rows, columns), TREE)])


def _markings(rng: np.random.Generator, picture: Array, across: Array, layout: Layout) -> None:
    z = np.arange(picture.shape[0]) / GROUND_Z_PX_M
    worn = rng.uniform(0.65, 1.0) * (0.8 + 0.2 * rng.random(picture.shape[:2]))[..., None]
    white, yellow = np.array([228, 228, 222]), np.array([214, 178, 66])
    dash = float(rng.choice([4.0, 6.0, 8.0]))
    lines = [(across < 0.07, (z % dash < dash * rng.uniform(0.35, 0.66)), white)]
    if layout.yellow:
        lines += [(np.abs(across - layout.road + inset) < 0.06, z >= 0, yellow) for inset in (0.28, 0.52)]
    elif layout.road > 5.2:
        lines.append((np.abs(across - layout.road + 2.2) < 0.06, z >= 0, white))
    for columns, rows, color in lines:
        where = rows[:, None] & columns[None]
        mixed = picture[..., :3] * (1 - worn) + color * worn
        picture[..., :3] = np.where(where[..., None], mixed, picture[..., :3])


def sky(rng: np.random.Generator, light: Light, height: int, width: int) -> Array:
    """Draw the sky above the horizon (the last row), with clouds and a far skyline."""
    level = np.linspace(0, 1, height)[:, None, None]
    color = np.array(light.zenith) * (1 - level**1.4) + np.array(light.horizon) * level**1.4
    color = np.broadcast_to(color, (height, width, 3)).astype(np.float32)
    clouds = fractal(rng, height, width, 5, 3)
    edge = float(np.quantile(clouds, 1 - light.cover))
    cover = np.clip((clouds - edge) / 1.2, 0, 1)[..., None] * (1 - 0.5 * level)
    lit = np.array(light.cloud) * (1 - 0.16 * np.clip(clouds - edge - 0.8, 0, 1.2))[..., None]
    picture = labelled(color * (1 - cover) + lit * cover, SKY)
    _skyline(rng, light, picture)
    return picture


def _skyline(rng: np.random.Generator, light: Light, picture: Array) -> None:
    height, width = picture.shape[:2]
    x = 0
    while x < width:
        wide, high = int(rng.integers(10, 60)), int(height * rng.uniform(0.02, 0.14))
        color = tuple(0.45 * np.array(light.horizon) + 0.5 * rng.uniform(90, 150))
        cv2.rectangle(picture, (x, height - high), (x + wide, height), (*color, BUILDING), -1)
        x += wide
    hills = np.clip(0.045 + 0.035 * fractal(rng, 8, width, 7, 6)[0], 0.0, 0.2) * height
    wood = 0.4 * np.array(light.horizon) + 0.6 * np.array([70, 92, 62])
    edge = np.stack([np.arange(width), height - hills], axis=1)
    outline = np.concatenate([edge, [[width, height], [0, height]]]).astype(np.int32)
    cv2.fillPoly(picture, [outline], (*wood.tolist(), TREE))


def crown(rng: np.random.Generator, light: Light, size: int = 224) -> tuple[Array, Array]:
    """Draw a tree's crown: uint8 ``(size, size, 4)`` and its mask ``(size, size)``, 255 where leaves are."""
    return _bare(rng, size) if rng.random() < 0.3 else _leafy(rng, light, size)


def _bare(rng: np.random.Generator, size: int) -> tuple[Array, Array]:
    """Draw a crown without leaves: boughs that fork and thin out."""
    alpha = np.zeros((size, size), np.uint8)
    bark = np.array([104, 90, 74]) * rng.uniform(0.6, 1.1) * rng.normal(1, 0.08, (size, size, 1))
    boughs = [
        (size / 2, size - 1.0, -np.pi / 2 + turn, size * 0.24, 6.0) for turn in (-0.5, -0.15, 0.2, 0.55)
    ]
    while boughs:
        x, y, angle, length, thick = boughs.pop()
        end = x + length * np.cos(angle), y + length * np.sin(angle)
        cv2.line(alpha, (int(x), int(y)), (int(end[0]), int(end[1])), 255, max(1, round(thick)), cv2.LINE_AA)
        if length > size * 0.045:
            turns, shorter = rng.normal((-0.45, 0.0, 0.45), 0.2), rng.uniform(0.6, 0.8, 3)
            boughs += [
                (*end, angle + t, length * s, thick * 0.62) for t, s in zip(turns, shorter, strict=True)
            ]
    return labelled(bark, TREE), alpha


def _leafy(rng: np.random.Generator, light: Light, size: int) -> tuple[Array, Array]:
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    body = np.full((size, size), -1.0)
    for _ in range(9):
        angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.55)
        radius = rng.uniform(0.28, 0.48)
        at = far * np.cos(angle) * 0.95, far * np.sin(angle) * 0.9
        body = np.maximum(body, 1 - np.hypot(x - at[0], y - at[1]) / radius)
    leaf = fractal(rng, size, size, 5, 10)
    thin = rng.uniform(0.1, 0.3)
    alpha = np.where(body + 0.16 * leaf > thin, 255, 0).astype(np.uint8)
    side = np.sign(light.sun[0]) * -0.25 if light.shadow < 0.8 else 0.0
    glow = 0.78 - 0.35 * y + side * x + 0.24 * fractal(rng, size, size, 4, 16) + 0.25 * np.clip(body, 0, 0.5)
    base = np.array(_foliage(rng)) * rng.uniform(0.8, 1.1)
    speckle = rng.normal(1, 0.1, (size, size))
    return labelled(base * (np.clip(glow, 0.25, 1.5) * speckle)[..., None], TREE), alpha


def _foliage(rng: np.random.Generator) -> Color:
    colors = [(72, 104, 48), (92, 118, 52), (60, 90, 56), (112, 112, 58), (150, 112, 52), (104, 88, 62)]
    return colors[int(rng.choice(6, p=[0.28, 0.26, 0.16, 0.12, 0.08, 0.1]))]


def hedge(rng: np.random.Generator, width: int, height: int) -> Array:
    """Draw a clipped hedge (class Tree)."""
    light = np.linspace(1.15, 0.5, height)[:, None] + 0.15 * fractal(rng, height, width, 5, 16)
    grain = rng.normal(1, 0.16, (height, width))
    return labelled(np.array(_foliage(rng)) * 0.9 * (light * grain)[..., None], TREE)


def fence(rng: np.random.Generator, width: int, height: int) -> Array:
    """Draw boards, railings before a hedge, or a low wall with a rail (class Fence)."""
    kind = int(rng.integers(3))
    if kind == 0:
        wood = np.array([132, 96, 62]) * rng.uniform(0.6, 1.25)
        board = np.repeat(rng.normal(1, 0.09, width // 6 + 1), 6)[:width][None, :, None]
        color = np.broadcast_to(wood * board, (height, width, 3)) * rng.normal(1, 0.05, (height, width, 1))
        color[:, ::6] *= 0.55
        return labelled(color, FENCE)
    color = np.array([86, 100, 66]) * rng.normal(1, 0.22, (height, width, 1)) * rng.uniform(0.7, 1.3)
    metal = np.array([46, 50, 52]) if rng.random() < 0.7 else np.array([186, 188, 186])
    color[:, ::5] = color[:, 1::5] = metal
    color[2:5] = color[-6:-3] = metal
    if kind == 2:
        brick = np.array([142, 92, 72]) * rng.normal(1, 0.1, (height // 2, width, 1))
        brick[::4] *= 0.8
        color[height - height // 2 :] = brick
    return labelled(color, FENCE)
