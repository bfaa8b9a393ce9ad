# SPDX-License-Identifier: Apache-2.0
"""Camera images in at one process, predictions out of another, with a robot's troubles on the way."""

from __future__ import annotations

import signal
from itertools import pairwise

import numpy as np
import pytest
from node_process import NodeProcess
from numpy.typing import NDArray
from observer import Observer, Recording
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from street_frames import street_frame

from fs_common.images import image_message
from fs_common.times import stamp_ns
from fs_edge_node.launch_table import EDGE
from fs_msgs.msg import FrameReport
from fs_server_node.launch_table import SERVER

LOOKS = 6
CLASSES = 11
MIOU_FLOOR = 40.0


class Camera:
    """Show looks at the street in turn, stamped by the clock; remember which stamp shows which."""

    def __init__(self, observer: Observer, topic: str) -> None:
        self.shown: dict[int, int] = {}
        self._observer = observer
        self._publisher = observer.publisher(Image, topic)

    def shoot(self) -> None:
        """Publish the next look."""
        stamp = self._observer.node.get_clock().now().to_msg()
        look = len(self.shown) % LOOKS
        self.shown[stamp_ns(stamp)] = look
        rgb = street_frame(look).rgb
        self._publisher.publish(image_message(Header(stamp=stamp, frame_id="front_optical"), rgb, "rgb8"))


def pixels(message: Image) -> NDArray[np.uint8]:
    """Read a mono8 image."""
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width)


def mean_iou(pairs: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> float:
    """Give the mIoU of (truth, prediction) in points, over classes that occur, void left out."""
    matrix = np.zeros((CLASSES, CLASSES))
    for truth, predicted in pairs:
        valid = truth < CLASSES
        cells = truth[valid].astype(int) * CLASSES + predicted[valid]
        matrix += np.bincount(cells, minlength=CLASSES**2).reshape(CLASSES, CLASSES)
    union = matrix.sum(0) + matrix.sum(1) - matrix.diagonal()
    return float(100 * np.mean(matrix.diagonal()[union > 0] / union[union > 0]))


def looks_seen(camera: Camera, masks: Recording) -> dict[int, NDArray[np.uint8]]:
    """Give the newest mask of each look, found by the stamp that came back."""
    return {camera.shown[stamp_ns(mask.header.stamp)]: pixels(mask) for mask in masks}


def shows(camera: Camera, overlay: Image) -> bool:
    """Tell by its fine structure whether an overlay was drawn on the picture of its stamp, not on black."""
    picture = street_frame(camera.shown[stamp_ns(overlay.header.stamp)]).rgb
    drawn = np.frombuffer(overlay.data, np.uint8).reshape(picture.shape)
    structures = [np.diff(one[..., 1].astype(float), axis=1).ravel() for one in (picture, drawn)]
    return bool(np.corrcoef(*structures)[0, 1] > 0.2)


def counted_anew(reports: Recording) -> bool:
    """Tell whether a server that began to count from nothing has reported on a later frame."""
    return any(new.received < old.received and new.sequence > old.sequence for old, new in pairwise(reports))


@pytest.fixture
def edge(start) -> NodeProcess:
    """Run the robot's node with the shipped bundle."""
    return start(EDGE, namespace="e2e")


def test_predictions_are_true_and_survive_a_killed_server(
    start, edge: NodeProcess, observer: Observer
) -> None:
    server = start(SERVER, namespace="e2e", threads="2", overlay_image="image").wait_ready()
    edge.wait_ready()
    overlays = observer.record(Image, "/e2e/overlay")
    masks = observer.record(Image, "/e2e/segmentation/mask")
    reports = observer.record(FrameReport, "/e2e/report")
    camera = Camera(observer, "/e2e/image")

    observer.until(lambda: len(looks_seen(camera, masks)) == LOOKS, "all looks", camera.shoot, period_s=0.2)
    seen = looks_seen(camera, masks)
    assert mean_iou([(street_frame(look).mask, mask) for look, mask in seen.items()]) > MIOU_FLOOR
    assert all(report.rejected == 0 for report in reports)
    assert all(0 <= report.transit_ms < report.latency_ms for report in reports)
    assert any(shows(camera, overlay) for overlay in overlays)

    server.kill()
    again = start(SERVER, namespace="e2e", threads="2").wait_ready()
    observer.until(lambda: counted_anew(reports), "predictions of the new server", camera.shoot, period_s=0.2)
    assert reports[-1].rejected == 0
    assert edge.process.poll() is None

    camera.shoot()
    assert again.stop_impatiently(signal.SIGINT) == 0, again.log
    assert "Traceback" not in again.log
