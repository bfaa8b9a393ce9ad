# SPDX-License-Identifier: Apache-2.0
"""Weather and time of day, and the camera's imperfections that turn a painting into a photograph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Color = tuple[float, float, float]


@dataclass(frozen=True)
class Light:
    """Light of one street: colours are RGB in 0..255, factors multiply a surface's own colour."""

    zenith: Color
    horizon: Color
    cloud: Color
    cover: float  # share of the sky that clouds hide, 0..1
    sides: tuple[float, float]  # brightness of facades on the left and right
    facing: float  # brightness of surfaces that face the camera
    shadow: float  # share of the light that remains in a cast shadow, 0..1
    sun: tuple[float, float]  # shift of a shadow's tip per metre of height: sideways, along the street
    gain: Color  # white balance and exposure of the finished picture
    gamma: float
    lamps: bool  # windows and street lamps are lit


def draw_light(rng: np.random.Generator) -> Light:
    """Draw a weather: sunny (about half), overcast, or dusk."""
    kind = rng.choice(3, p=[0.5, 0.33, 0.17])
    return (_sunny, _overcast, _dusk)[int(kind)](rng)


def _gain(rng: np.random.Generator, exposure: float, warmth: float) -> Color:
    exposure *= float(rng.uniform(0.88, 1.14))
    warmth += float(rng.normal(0, 0.035))
    return exposure * (1 + warmth), exposure * (1 + float(rng.normal(0, 0.01))), exposure * (1 - warmth)


def dim(color: Color, factor: float) -> Color:
    """Multiply a colour."""
    red, green, blue = color
    return red * factor, green * factor, blue * factor


def _mix(a: Color, b: Color, share: float) -> Color:
    red, green, blue = (x + (y - x) * share for x, y in zip(a, b, strict=True))
    return red, green, blue


def _sunny(rng: np.random.Generator) -> Light:
    azimuth, elevation = rng.uniform(-np.pi, np.pi), rng.uniform(0.35, 1.0)
    reach = float(np.clip(1 / np.tan(elevation), 0.6, 2.2))
    sideways, along = float(np.sin(azimuth)), float(np.cos(azimuth))
    hue = rng.uniform(0, 1)
    glare = float(rng.choice([0.0, 0.0, 0.6, 0.9]))  # a sky that the exposure washes out
    return Light(
        zenith=_mix((70 + 60 * hue, 125 + 50 * hue, 205 + 25 * hue), (250, 251, 252), glare),
        horizon=_mix((205, 222, 238), (250, 250, 250), glare),
        cloud=(248, 248, 250),
        cover=float(rng.uniform(0.05, 0.6)),
        sides=(0.8 + 0.28 * sideways, 0.8 - 0.28 * sideways),
        facing=0.78 + 0.25 * along,
        shadow=float(rng.uniform(0.45, 0.65)),
        sun=(sideways * reach, along * reach),
        gain=_gain(rng, 1.12, 0.03),
        gamma=float(rng.uniform(0.88, 1.12)),
        lamps=False,
    )


def _overcast(rng: np.random.Generator) -> Light:
    grey = float(rng.uniform(205, 252))
    return Light(
        zenith=(grey - 14, grey - 8, grey),
        horizon=(grey, grey, grey),
        cloud=(grey - 30, grey - 27, grey - 22),
        cover=float(rng.uniform(0.2, 0.8)),
        sides=(0.9, 0.9),
        facing=0.86,
        shadow=0.9,
        sun=(0.0, 0.0),
        gain=_gain(rng, 1.08, -0.02),
        gamma=float(rng.uniform(0.92, 1.2)),
        lamps=bool(rng.random() < 0.2),
    )


def _dusk(rng: np.random.Generator) -> Light:
    pink = float(rng.uniform(0, 1))
    return Light(
        zenith=(92 + 30 * pink, 112, 165),
        horizon=(250, 196 - 30 * pink, 140 + 30 * pink),
        cloud=(205, 150 + 20 * pink, 150),
        cover=float(rng.uniform(0.2, 0.7)),
        sides=(0.66, 0.72),
        facing=0.6,
        shadow=0.85,
        sun=(0.0, 0.0),
        gain=_gain(rng, 0.92, 0.04),
        gamma=float(rng.uniform(0.95, 1.25)),
        lamps=True,
    )


class Development:
    """Turn clean pixels into a photograph: blur, vignette, exposure and gamma, sensor noise."""

    def __init__(self, rng: np.random.Generator, light: Light, height: int, width: int) -> None:
        self._sigma = float(rng.uniform(0.3, 0.8))
        self._vignette = _vignette(height, width, float(rng.uniform(0.03, 0.22)))
        self._curve = _curve(light)
        noise = rng.normal(0, rng.uniform(1.0, 4.5), (height + 64, width + 64, 3))
        self._noise: NDArray[Any] = np.clip(np.rint(noise), -128, 127).astype(np.int16)

    def __call__(self, rgb: Image, rng: np.random.Generator) -> Image:
        """Develop uint8 ``(H, W, 3)``; ``rng`` chooses this frame's noise."""
        height, width = rgb.shape[:2]
        soft = cv2.GaussianBlur(rgb, (5, 5), self._sigma)
        toned = cv2.LUT(cv2.multiply(soft, self._vignette, scale=1 / 255), self._curve)
        y, x = rng.integers(0, 64, 2)
        noisy = cv2.add(toned, self._noise[y : y + height, x : x + width], dtype=cv2.CV_8U)
        return np.asarray(noisy, np.uint8)


def _vignette(height: int, width: int, strength: float) -> Image:
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    fall = 1 - strength * (x**2 + y**2) / 2
    return np.repeat(np.rint(255 * fall)[..., None], 3, axis=2).astype(np.uint8)


def _curve(light: Light) -> Image:
    level = np.linspace(0, 1, 256)[:, None] * np.array(light.gain)
    return np.asarray(np.rint(255 * np.clip(level, 0, 1) ** light.gamma)[None], np.uint8)
