# SPDX-License-Identifier: Apache-2.0
"""What the server writes into messages, the monitor reads back."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("vision_msgs.msg", reason="needs ROS 2: run `make setup`, or source a ROS installation")

from sensor_msgs.msg import Image
from std_msgs.msg import Header

from frankensplit.results import BoxesResult, ClassesResult, MaskResult
from fs_common.images import byte_array, mask_of
from fs_demo.results import result_of
from fs_server_node.messages import result_message

CLASSES = ["car", "pedestrian", "bicyclist"]


def test_masks():
    mask = np.arange(35, dtype=np.uint8).reshape(5, 7)
    back = result_of(result_message(Header(), MaskResult(mask), CLASSES), CLASSES, 0.0)
    np.testing.assert_array_equal(back.mask, mask)


def test_masks_with_padded_rows():
    padded = np.arange(40, dtype=np.uint8).reshape(5, 8)
    message = Image(height=5, width=7, step=8, encoding="mono8", data=byte_array(padded))
    np.testing.assert_array_equal(mask_of(message).mask, padded[:, :7])


@pytest.mark.parametrize("count", [0, 1, 4])
def test_boxes(count: int):
    rng = np.random.default_rng(count)
    corners = rng.uniform(0, 200, (count, 2, 2))
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)
    given = BoxesResult(boxes, rng.integers(0, 3, count), rng.random(count).astype(np.float32))
    back = result_of(result_message(Header(), given, CLASSES), CLASSES, 0.0)
    np.testing.assert_allclose(back.boxes, given.boxes, atol=1e-4)
    np.testing.assert_array_equal(back.class_ids, given.class_ids)
    np.testing.assert_allclose(back.scores, given.scores)


def test_classes_keep_order_and_threshold():
    given = ClassesResult(np.array([0.1, 0.9, 0.4], np.float32), 0.5)
    back = result_of(result_message(Header(), given, CLASSES), CLASSES, 0.5)
    np.testing.assert_allclose(back.scores, given.scores)
    assert back.threshold == 0.5
