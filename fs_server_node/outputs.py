# SPDX-License-Identifier: Apache-2.0
"""The publishers of one robot's results, and which of them anybody listens to."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import LabelInfo

from frankensplit.results import Result
from fs_common.images import image_message
from fs_common.qos import keep_last, latched
from fs_msgs.msg import FrameReport
from fs_server_node.messages import MESSAGE_OF_KIND, label_info, result_message, topic_of
from fs_server_node.parameters import ServerParameters

if TYPE_CHECKING:
    from frankensplit.inference.predictor import HeadInfo


class Outputs:
    """Results of every head, overlay and report below one prefix (``robot1/`` or nothing)."""

    def __init__(
        self, node: Node, prefix: str, heads: Mapping[str, HeadInfo], chosen: ServerParameters
    ) -> None:
        qos = keep_last(chosen.result_reliability, chosen.result_depth)
        self._heads = heads
        self._overlay = node.create_publisher(Image, f"{prefix}overlay", qos)
        self._report = node.create_publisher(FrameReport, f"{prefix}report", qos)
        self._results: dict[str, Publisher] = {}
        self._labels: dict[str, Publisher] = {}
        self._latched: dict[str, float] = {}  # thresholds as last published
        for name, head in heads.items():
            kind = MESSAGE_OF_KIND[head.kind]
            self._results[name] = node.create_publisher(kind, prefix + topic_of(name, head.kind), qos)
            self._labels[name] = node.create_publisher(LabelInfo, f"{prefix}{name}/label_info", latched())

    def listened(self) -> bool:
        """Tell whether anybody subscribes to a result, the overlay or the report."""
        publishers = (*self._results.values(), self._overlay, self._report)
        return any(publisher.get_subscription_count() for publisher in publishers)

    def listened_heads(self, heads: Collection[str]) -> list[str]:
        """Give those of ``heads`` that somebody needs; the overlay needs them all."""
        if self.wants_overlay():
            return list(heads)
        return [name for name in heads if self._results[name].get_subscription_count()]

    def wants_overlay(self) -> bool:
        """Tell whether anybody subscribes to the overlay."""
        return self._overlay.get_subscription_count() > 0

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

    def publish_overlay(self, header: Header, rgb: NDArray[np.uint8]) -> None:
        """Publish the drawn picture."""
        self._overlay.publish(image_message(header, rgb, "rgb8"))

    def publish_report(self, report: FrameReport) -> None:
        """Publish what the frame cost."""
        self._report.publish(report)
