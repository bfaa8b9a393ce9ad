# SPDX-License-Identifier: Apache-2.0
"""The publishers of one robot's results, and which of them anybody listens to."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import LabelInfo

from frankensplit.results import Result
from fs_common.images import image_message, jpeg_message
from fs_common.qos import keep_last, latched
from fs_msgs.msg import FrameReport
from fs_server_node.messages import MESSAGE_OF_KIND, VIEWS, View, label_info, result_message, topic_of
from fs_server_node.parameters import ServerParameters

if TYPE_CHECKING:
    from frankensplit.inference.predictor import HeadInfo

OVERLAY_QUALITY = 90  # its thin lines and letters want more than a photograph


class Outputs:
    """Results of every head and their views, overlay and report below one prefix (``robot1/`` or nothing).

    ``labels`` are the bundle's, by head. Views and overlays are made only for those who listen to them.
    """

    def __init__(
        self,
        node: Node,
        prefix: str,
        heads: Mapping[str, HeadInfo],
        labels: Mapping[str, Mapping[str, Any]],
        chosen: ServerParameters,
    ) -> None:
        qos = keep_last(chosen.result_reliability, chosen.result_depth)
        self._heads, self._all_labels = heads, labels
        self._overlay = node.create_publisher(Image, f"{prefix}overlay", qos)
        self._overlay_file = node.create_publisher(CompressedImage, f"{prefix}overlay/compressed", qos)
        self._report = node.create_publisher(FrameReport, f"{prefix}report", qos)
        self._results: dict[str, Publisher] = {}
        self._views: dict[str, list[tuple[View, Publisher]]] = {}
        self._labels: dict[str, Publisher] = {}
        self._latched: dict[str, float] = {}  # thresholds as last published
        for name, head in heads.items():
            kind = MESSAGE_OF_KIND[head.kind]
            self._results[name] = node.create_publisher(kind, prefix + topic_of(name, head.kind), qos)
            self._views[name] = [
                (view, node.create_publisher(view.message, f"{prefix}{name}/{view.topic}", qos))
                for view in VIEWS[head.kind]
            ]
            self._labels[name] = node.create_publisher(LabelInfo, f"{prefix}{name}/label_info", latched())

    def listened(self) -> bool:
        """Tell whether anybody subscribes to a result, a view, an overlay or the report."""
        return _heard(self._report) or self.wants_overlay() or any(map(self._needs, self._heads))

    def listened_heads(self, heads: Collection[str]) -> list[str]:
        """Give those of ``heads`` that somebody needs; the overlay needs them all."""
        if self.wants_overlay():
            return list(heads)
        return [name for name in heads if self._needs(name)]

    def wants_overlay(self) -> bool:
        """Tell whether anybody subscribes to the overlay, raw or compressed."""
        return _heard(self._overlay) or _heard(self._overlay_file)

    def publish_labels(self, stamp: Time, thresholds: Mapping[str, float]) -> None:
        """Latch the class names of every head and the score from which on one counts, where that is new."""
        for name, head in self._heads.items():
            if self._latched.get(name) != thresholds[name]:
                self._latched[name] = thresholds[name]
                self._labels[name].publish(label_info(Header(stamp=stamp), head.classes, thresholds[name]))

    def publish_results(self, header: Header, results: Mapping[str, Result]) -> None:
        """Publish each head's result under the image's header."""
        for name, result in results.items():
            self._results[name].publish(result_message(header, result, self._heads[name].classes))

    def publish_views(self, header: Header, results: Mapping[str, Result]) -> None:
        """Publish the views of each head's result that somebody listens to."""
        for name, result in results.items():
            for view, publisher in self._views[name]:
                if _heard(publisher):
                    publisher.publish(view.make(header, result, self._all_labels[name]))

    def publish_overlay(self, header: Header, rgb: NDArray[np.uint8]) -> None:
        """Publish the drawn picture, raw and as JPEG, to those who listen."""
        if _heard(self._overlay):
            self._overlay.publish(image_message(header, rgb, "rgb8"))
        if _heard(self._overlay_file):
            self._overlay_file.publish(jpeg_message(header, rgb, OVERLAY_QUALITY))

    def publish_report(self, report: FrameReport) -> None:
        """Publish what the frame cost."""
        self._report.publish(report)

    def _needs(self, head: str) -> bool:
        return _heard(self._results[head]) or any(_heard(publisher) for _, publisher in self._views[head])


def _heard(publisher: Publisher) -> bool:
    return publisher.get_subscription_count() > 0
