# SPDX-License-Identifier: Apache-2.0
"""The pictures that overlays are drawn on: recent camera images by stamp, or black."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from fs_common.images import builtin_to_rgb
from fs_common.times import stamp_ns

KEPT_IMAGES = 32  # about a second of camera: longer than any prediction that still counts


class Backdrop:
    """Keep recent images of one camera."""

    def __init__(self) -> None:
        self._images: OrderedDict[int, Image] = OrderedDict()

    def keep(self, image: Image) -> None:
        """Remember an image, forget the oldest."""
        self._images[stamp_ns(image.header.stamp)] = image
        while len(self._images) > KEPT_IMAGES:
            self._images.popitem(last=False)

    def for_frame(self, header: Header, height: int, width: int) -> NDArray[np.uint8]:
        """Give rgb8 ``(height, width, 3)``: the image of this stamp where it was kept, else black."""
        image = self._images.get(stamp_ns(header.stamp))
        if image is None or (image.height, image.width) != (height, width):
            return np.zeros((height, width, 3), np.uint8)
        return builtin_to_rgb(image)
