# SPDX-License-Identifier: Apache-2.0
"""A frame that a client without an encoder sent: a plain image, for the unmodified backbone."""

from __future__ import annotations

import math
import time
from collections.abc import Collection
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage

from frankensplit.bundle import Bundle
from fs_common.images import AnyImage, builtin_to_rgb, compressed_to_rgb
from fs_msgs.msg import FrameReport
from fs_server_node.frame import Frame

if TYPE_CHECKING:
    from frankensplit.inference.predictor import Prediction, Predictor


class ImageFrame(Frame):
    """An image, for every bundle; ``sequence`` numbers the images of its topic, since they bring no number."""

    def __init__(self, image: AnyImage, sequence: int) -> None:
        self.header = image.header
        self.payload_bytes = len(image.data)
        self._image = image
        self._sequence = sequence

    def suits(self, bundle: Bundle) -> bool:
        """Tell that any backbone can look at an image."""
        return True

    def predict(self, predictor: Predictor, heads: Collection[str]) -> Prediction:
        """Predict from the pixels; ImageError when they cannot be understood."""
        rgb, convert_ms = self._converted
        return replace(predictor.predict_image(rgb, heads), entropy_ms=convert_ms)

    def picture(self) -> NDArray[np.uint8]:
        """Give the image itself."""
        return self._converted[0]

    def report(self) -> FrameReport:
        """Report that no edge was at work."""
        return FrameReport(
            header=self.header, sequence=self._sequence, packet_bytes=self.payload_bytes, transit_ms=math.nan
        )

    @cached_property
    def _converted(self) -> tuple[NDArray[np.uint8], float]:
        start = time.perf_counter()
        compressed = isinstance(self._image, CompressedImage)
        rgb = compressed_to_rgb(self._image) if compressed else builtin_to_rgb(self._image)
        return rgb, (time.perf_counter() - start) * 1e3
