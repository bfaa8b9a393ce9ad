# SPDX-License-Identifier: Apache-2.0
"""Random light, colour and flaws of pictures for training, by torchvision's functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from frankensplit.torchvision_import import import_torchvision

import_torchvision()
from torchvision.transforms.v2 import functional  # noqa: E402

BLUR_SIGMA = (0.4, 1.6)  # pixels
NOISE = (1.0, 10.0)  # standard deviation, of 255
JPEG_QUALITY = (30, 90)


@dataclass(frozen=True)
class Look:
    """How much pictures vary.

    Args:
        light: brightness, contrast and saturation are multiplied by up to 1 plus or minus this; 0 to 1.
        hue: colours are turned by up to this part of the colour circle; 0 to 0.5.
        grey: share of the pictures that lose their colours.
        blur: share that is blurred.
        noise: share that gets a sensor's noise.
        jpeg: share that was compressed by JPEG.
    """

    light: float = 0.0
    hue: float = 0.0
    grey: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    jpeg: float = 0.0


def random_look(rgb: NDArray[np.uint8], look: Look, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a picture, uint8 RGB ``(H, W, 3)``, as it may have looked; all is drawn from ``rng``."""
    image = torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))
    if look.light:
        for adjust in (
            functional.adjust_brightness,
            functional.adjust_contrast,
            functional.adjust_saturation,
        ):
            image = adjust(image, rng.uniform(1 - look.light, 1 + look.light))
    if look.hue:
        image = functional.adjust_hue(image, rng.uniform(-look.hue, look.hue))
    if _hit(look.grey, rng):
        image = functional.rgb_to_grayscale(image, num_output_channels=3)
    if _hit(look.blur, rng):
        image = functional.gaussian_blur(image, [7, 7], [rng.uniform(*BLUR_SIGMA)])
    if _hit(look.noise, rng):
        image = _noisy(image, rng)
    pixels: NDArray[Any] = np.ascontiguousarray(image.numpy().transpose(1, 2, 0))
    return _through_jpeg(pixels, rng) if _hit(look.jpeg, rng) else pixels


def _hit(share: float, rng: np.random.Generator) -> bool:
    return bool(share and rng.random() < share)


def _noisy(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Add noise; torchvision's own is drawn from torch's global state, which no sample may depend on."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    noise = torch.randn(image.shape, generator=generator) * rng.uniform(*NOISE)
    return (image + noise).round().clamp(0, 255).to(torch.uint8)


def _through_jpeg(rgb: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Compress and decode; torchvision's own is a compiled operator, which does not load with every torch."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(*JPEG_QUALITY, endpoint=True))]
    _, data = cv2.imencode(".jpg", rgb[:, :, ::-1], quality)
    decoded: Any = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(decoded[:, :, ::-1], np.uint8)
