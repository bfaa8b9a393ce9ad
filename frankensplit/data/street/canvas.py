# SPDX-License-Identifier: Apache-2.0
"""A pinhole camera, and a canvas whose fourth channel is the class: picture and truth are one drawing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Paint = tuple[int, int, int, int]  # red, green, blue, class
SUPERSAMPLING = 2
_SHIFT = 3  # fractional bits of OpenCV's polygon coordinates
_NEAR_M = 0.4


@dataclass(frozen=True)
class Camera:
    """A level pinhole camera; ``horizon`` moves with pitch, so that verticals stay vertical.

    World axes in metres: x right, y up, z along the street. Pixels are those of the canvas.
    """

    x: float
    y: float
    z: float
    yaw: float
    focal: float
    center: float
    horizon: float

    def project(self, points: Array) -> tuple[Array, Array]:
        """Project float ``(N, 3)`` to pixels ``(N, 2)`` and depths in metres ``(N,)``."""
        cos, sin = np.cos(self.yaw), np.sin(self.yaw)
        dx, dz = points[:, 0] - self.x, points[:, 2] - self.z
        depth = dz * cos + dx * sin
        scale = self.focal / np.maximum(depth, _NEAR_M)
        u = self.center + (dx * cos - dz * sin) * scale
        v = self.horizon - (points[:, 1] - self.y) * scale
        return np.stack([u, v], axis=1), depth


class Canvas:
    """RGB and class in one uint8 ``(H, W, 4)`` picture, drawn without anti-aliasing, reduced at the end."""

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height * SUPERSAMPLING, width * SUPERSAMPLING
        self.pixels = np.zeros((self.height, self.width, 4), np.uint8)

    def reduce(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return the anti-aliased picture and the class of one sample of each pixel."""
        size = (self.width // SUPERSAMPLING, self.height // SUPERSAMPLING)
        rgb = cv2.resize(self.pixels, size, interpolation=cv2.INTER_AREA)[..., :3]
        mask = self.pixels[1::SUPERSAMPLING, 1::SUPERSAMPLING, 3]
        return np.ascontiguousarray(rgb), np.ascontiguousarray(mask)

    def polygon(self, uv: Array, paint: Paint) -> None:
        """Fill a simple polygon, float pixels ``(N, 2)``."""
        cv2.fillPoly(self.pixels, [_fixed(uv)], paint, lineType=cv2.LINE_8, shift=_SHIFT)

    def convex(self, uv: Array, paint: Paint) -> None:
        """Fill a convex polygon, float pixels ``(N, 2)``."""
        cv2.fillConvexPoly(self.pixels, _fixed(uv), paint, lineType=cv2.LINE_8, shift=_SHIFT)

    def line(self, start: Array, end: Array, thickness: float, paint: Paint) -> None:
        """Draw a thick line with round ends; thinner than one sample is one sample."""
        a, b = _fixed(np.stack([start, end]))
        width = int(np.clip(round(float(thickness)), 1, 255))
        cv2.line(self.pixels, a.tolist(), b.tolist(), paint, width, cv2.LINE_8, _SHIFT)

    def lines(
        self, starts: Array, ends: Array, thicknesses: Sequence[float], paints: Sequence[Paint]
    ) -> None:
        """Draw thick lines in order; a line of no length is a disc."""
        rows = zip(_fixed(starts).tolist(), _fixed(ends).tolist(), thicknesses, paints, strict=True)
        for start, end, thickness, paint in rows:
            width = min(255, max(1, round(thickness)))
            cv2.line(self.pixels, start, end, paint, width, cv2.LINE_8, _SHIFT)

    def disc(self, center: Array, radius: float, paint: Paint) -> None:
        """Fill a circle."""
        at = _fixed(center[None])[0].tolist()
        cv2.circle(self.pixels, at, max(1, round(float(radius) * 2**_SHIFT)), paint, -1, cv2.LINE_8, _SHIFT)

    def quad(
        self, mips: Sequence[Array], span: tuple[float, float], uv: Array, haze: Paint, share: float
    ) -> None:
        """Warp the columns ``span`` (0..1) of a texture onto bottom-left, top-left, top-right, bottom-right.

        ``share`` (0..1) of ``haze`` is mixed in; its class must be the texture's, which then stays as it is.
        """
        box = self._clip(*uv.min(axis=0), *uv.max(axis=0))
        if box is None:
            return
        texture = mips[_level(mips, span, uv)]
        if share > 0.1:
            texture = cv2.addWeighted(texture, 1 - share, np.full_like(texture, haze), share, 0)
        high, wide = texture.shape[0] - 1.0, texture.shape[1] - 1.0
        left, right = span[0] * wide, span[1] * wide
        source = np.array([[left, high], [left, 0], [right, 0], [right, high]], np.float32)
        x0, y0, x1, y1 = box
        matrix = cv2.getPerspectiveTransform(source, (uv - (x0, y0)).astype(np.float32))
        roi = self.pixels[y0:y1, x0:x1]
        flags, border = cv2.INTER_LINEAR, cv2.BORDER_TRANSPARENT
        cv2.warpPerspective(texture, matrix, (x1 - x0, y1 - y0), dst=roi, flags=flags, borderMode=border)

    def sprite(self, texture: Array, alpha: Array, box: Array) -> None:
        """Scale a texture with a mask into ``box`` (x0, y0, x1, y1 in pixels)."""
        clip = self._clip(*box)
        if clip is None:
            return
        x0, y0, x1, y1 = clip
        wide, high = box[2] - box[0], box[3] - box[1]
        scale = np.array(
            [[wide / texture.shape[1], 0, box[0] - x0], [0, high / texture.shape[0], box[1] - y0]]
        )
        size = (x1 - x0, y1 - y0)
        color = cv2.warpAffine(texture, scale, size, borderMode=cv2.BORDER_REPLICATE)
        shape = cv2.warpAffine(alpha, scale, size)
        cv2.copyTo(color, cv2.threshold(shape, 127, 255, cv2.THRESH_BINARY)[1], self.pixels[y0:y1, x0:x1])

    def _clip(self, x0: float, y0: float, x1: float, y1: float) -> tuple[int, int, int, int] | None:
        left, top = max(0, int(np.floor(x0))), max(0, int(np.floor(y0)))
        right, bottom = min(self.width, int(np.ceil(x1)) + 1), min(self.height, int(np.ceil(y1)) + 1)
        return (left, top, right, bottom) if right - left > 0 and bottom - top > 0 else None


def pyramid(texture: Array, levels: int = 5) -> list[Array]:
    """Return the texture and its halvings, down to about eight pixels."""
    mips = [texture]
    while len(mips) < levels and min(mips[-1].shape[:2]) > 16:
        mips.append(cv2.pyrDown(mips[-1]))
    return mips


def _level(mips: Sequence[Array], span: tuple[float, float], uv: Array) -> int:
    wide = max(1.0, float(np.ptp(uv[:, 0]))) / max(span[1] - span[0], 1e-3)
    high = max(1.0, float(max(abs(uv[0, 1] - uv[1, 1]), abs(uv[3, 1] - uv[2, 1]))))
    ratio = min(mips[0].shape[1] / wide, 2 * mips[0].shape[0] / high)
    return int(np.clip(np.floor(np.log2(max(ratio, 1.0))), 0, len(mips) - 1))


def _fixed(uv: Array) -> Array:
    return np.asarray(np.rint(uv.clip(-8000, 8000) * 2**_SHIFT).astype(np.int32))
