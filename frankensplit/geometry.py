# SPDX-License-Identifier: Apache-2.0
"""Map images, boxes and masks between a camera's pixels and the network's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from frankensplit.errors import ImageError

MAX_SIDE = 65535  # a packet carries each side in 16 bits
MULTIPLE = 32  # encoders and backbones need frames whose sides are multiples of this


@dataclass(frozen=True)
class Geometry:
    """Fit a source image into the nominal box and pad it right and bottom to a multiple.

    Everything follows from these integers alone, in integer arithmetic, so robot and server agree without
    sending more than the source size. Boxes are edges: pixel ``i`` covers ``[i, i + 1)``, and a whole image is
    ``0, 0, width, height``.

    Args:
        source_height, source_width: the image as the camera gave it, 1 to 65535 pixels a side.
        nominal_height, nominal_width: the box, in pixels, that the scaled image has to fit.
        multiple: the padded sides are multiples of this many pixels.

    Raises:
        ImageError: a side is out of range.
    """

    source_height: int
    source_width: int
    nominal_height: int
    nominal_width: int
    multiple: int = 32

    def __post_init__(self) -> None:
        for name in ("source_height", "source_width", "nominal_height", "nominal_width"):
            side = getattr(self, name)
            if not 1 <= side <= MAX_SIDE:
                raise ImageError(f"{name} is {side}, expected 1 to {MAX_SIDE} pixels; check the image's size")
        if self.multiple < 1:
            raise ImageError(f"multiple is {self.multiple}, expected at least 1")

    @cached_property
    def _scaled(self) -> tuple[int, int]:
        """Height and width after scaling; the tighter side of the box is met exactly."""
        if self.nominal_height * self.source_width <= self.nominal_width * self.source_height:
            return self.nominal_height, _scale(self.source_width, self.nominal_height, self.source_height)
        return _scale(self.source_height, self.nominal_width, self.source_width), self.nominal_width

    @property
    def scaled_height(self) -> int:
        """Height in pixels of the image inside the padding."""
        return self._scaled[0]

    @property
    def scaled_width(self) -> int:
        """Width in pixels of the image inside the padding."""
        return self._scaled[1]

    @property
    def padded_height(self) -> int:
        """Height in pixels of what the network sees."""
        return -(-self.scaled_height // self.multiple) * self.multiple

    @property
    def padded_width(self) -> int:
        """Width in pixels of what the network sees."""
        return -(-self.scaled_width // self.multiple) * self.multiple

    def prepare(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Scale and pad one image for the network.

        Args:
            rgb: uint8 ``(source_height, source_width, 3)``, any strides.

        Returns:
            uint8 ``(padded_height, padded_width, 3)``, C-contiguous; the padding repeats the image's edge.

        Raises:
            ImageError: the shape or dtype differs.
        """
        self._check(rgb, (self.source_height, self.source_width, 3), "image")
        if rgb.dtype != np.uint8:
            raise ImageError(
                f"image has dtype {rgb.dtype}, expected uint8; convert it with frankensplit.edge.image.to_rgb"
            )
        if self._scaled == (self.padded_height, self.padded_width) == rgb.shape[:2]:
            return np.ascontiguousarray(rgb)
        return self._scale_and_pad(rgb)

    def boxes_to_source(self, boxes: ArrayLike) -> NDArray[np.float32]:
        """Map boxes ``(N, 4)``, x0, y0, x1, y1 in network pixels, to float32 source pixels, and clip them."""
        limit = np.array([self.source_width, self.source_height] * 2)
        source = _rows(boxes, 4) * np.tile(self._network_to_source, 2)
        return np.clip(source, 0, limit).astype(np.float32)

    def mask_to_source(self, mask: NDArray[Any]) -> NDArray[Any]:
        """Map a mask ``(padded_height, padded_width)`` to ``(source_height, source_width)``, nearest value."""
        self._check(mask, (self.padded_height, self.padded_width), "mask")
        inside = mask[: self.scaled_height, : self.scaled_width]
        return _nearest(inside, self.source_height, self.source_width)

    @cached_property
    def _network_to_source(self) -> NDArray[np.float64]:
        """Source pixels per network pixel, x and y."""
        return np.array([self.source_width / self.scaled_width, self.source_height / self.scaled_height])

    def _scale_and_pad(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Scale straight into the padded image, so that its pixels are written once."""
        height, width = self._scaled
        padded = np.empty((self.padded_height, self.padded_width, 3), np.uint8)
        inside = padded[:height, :width]
        if rgb.shape == inside.shape:
            inside[:] = rgb
        else:
            shrinks = height < self.source_height or width < self.source_width
            method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            cv2.resize(rgb, (width, height), dst=inside, interpolation=method)
        padded[height:, :width] = inside[-1]
        padded[:, width:] = padded[:, width - 1 : width]
        return padded

    def _check(self, array: NDArray[Any], expected: tuple[int, ...], what: str) -> None:
        if array.shape != expected:
            raise ImageError(
                f"{what} has shape {array.shape}, expected {expected}; make a Geometry of its own size"
            )


def _scale(side: int, numerator: int, denominator: int) -> int:
    """Return ``side * numerator / denominator`` rounded half up, at least 1."""
    return max(1, (2 * side * numerator + denominator) // (2 * denominator))


def _rows(values: ArrayLike, columns: int) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64).reshape(-1, columns)


def _nearest(mask: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Resize by the value under each pixel's centre (INTER_NEAREST takes the one under its corner)."""
    if mask.shape == (height, width):
        return mask
    return cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
