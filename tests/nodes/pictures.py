# SPDX-License-Identifier: Apache-2.0
"""Read pictures out of messages."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image


def mask_of(message: Image) -> NDArray[np.uint8]:
    """Read a mono8 image."""
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)[:, : message.width]
