# SPDX-License-Identifier: Apache-2.0
"""Read results of heads back out of ROS messages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sensor_msgs.msg import Image
from vision_msgs.msg import Classification, Detection2D, Detection2DArray

from frankensplit.results import BoxesResult, ClassesResult, Result
from fs_common.images import mask_of


def result_of(
    message: Image | Detection2DArray | Classification, classes: Sequence[str], threshold: float
) -> Result:
    """Return the result in a message; ``classes`` and ``threshold`` are those of the head's ``label_info``."""
    if isinstance(message, Image):
        return mask_of(message)
    if isinstance(message, Detection2DArray):
        return _boxes(message, classes)
    scores = {one.class_id: one.score for one in message.results}
    return ClassesResult(np.array([scores.get(name, 0.0) for name in classes], np.float32), threshold)


def _boxes(message: Detection2DArray, classes: Sequence[str]) -> BoxesResult:
    best = [one.results[0].hypothesis for one in message.detections]
    return BoxesResult(
        np.array([_corners(one) for one in message.detections], np.float32).reshape(-1, 4),
        np.array([classes.index(one.class_id) for one in best], np.int64),
        np.array([one.score for one in best], np.float32),
    )


def _corners(detection: Detection2D) -> tuple[float, float, float, float]:
    center, box = detection.bbox.center.position, detection.bbox
    half_x, half_y = box.size_x / 2, box.size_y / 2
    return center.x - half_x, center.y - half_y, center.x + half_x, center.y + half_y
