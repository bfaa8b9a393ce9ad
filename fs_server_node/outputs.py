# SPDX-License-Identifier: Apache-2.0
"""What bundles make of the frames of a topic: their networks, the publishers of results, and what a frame cost."""

from __future__ import annotations

import gc
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import LabelInfo

from frankensplit.bundle import Bundle
from frankensplit.inference.overlay import draw_overlay
from frankensplit.results import Result
from fs_common.images import image_message, jpeg_message
from fs_common.meter import Totals
from fs_common.qos import keep_last, latched
from fs_common.times import elapsed_ms
from fs_msgs.msg import FrameReport
from fs_server_node.frames import ReceivedFrame
from fs_server_node.messages import (
    MESSAGE_OF_KIND,
    VIEWS,
    View,
    at_least,
    label_info,
    result_message,
    topic_of,
)
from fs_server_node.names import bundle_namespaces
from fs_server_node.parameters import ALL_HEADS, ServerParameters

if TYPE_CHECKING:
    from frankensplit.inference.predictor import HeadInfo, Prediction, Predictor

OVERLAY_QUALITY = 90  # its thin lines and letters want more than a photograph


@dataclass
class ServedBundle:
    """A bundle and its networks, which ``free`` lets go of and ``load`` loads again; ``heads`` stay.

    ``namespace`` is what its results' names have after a topic's prefix: nothing, or ``NAME/``.
    """

    bundle: Bundle
    predictor: Predictor | None
    namespace: str
    heads: Mapping[str, HeadInfo]

    def load(self, chosen: ServerParameters) -> None:
        """Load the networks, if they are not there; raises as ``open_bundles``."""
        if self.predictor is None:
            self.predictor = _predictor(self.bundle, chosen)

    def free(self) -> None:
        """Let go of the networks; a frame at work still ends."""
        self.predictor = None

    def thresholds(self, chosen: ServerParameters) -> dict[str, float]:
        """Give the score from which on something counts, by head."""
        asked = chosen.score_threshold
        heads = self.heads.values()
        return {head.name: asked if asked and head.kind == "boxes" else head.threshold for head in heads}

    def active_heads(self, chosen: ServerParameters) -> list[str]:
        """List the heads that may run; another bundle's names say nothing here."""
        return [name for name in self.heads if ALL_HEADS in chosen.heads or name in chosen.heads]


def open_bundles(bundles: Sequence[Bundle], chosen: ServerParameters) -> list[ServedBundle]:
    """Load the networks of every bundle.

    Raises:
        BundleError: weights do not fit the networks that a manifest names.
        RuntimeUnavailable: the device is not there.
    """
    predictors = [_predictor(bundle, chosen) for bundle in bundles]
    return [
        ServedBundle(bundle, predictor, namespace, predictor.heads)
        for bundle, predictor, namespace in zip(bundles, predictors, bundle_namespaces(bundles), strict=True)
    ]


def return_memory() -> None:
    """Give back to the device what freed networks had; torch keeps it otherwise."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class ResultPublishers:
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


class BundleOutputs:
    """Run one bundle on the frames of one topic for those who listen, and publish what comes out.

    Args:
        node: that publishes.
        prefix: of the topic (``robot1/`` or nothing).
        served: the bundle.
        chosen: QoS of the results, thresholds.
    """

    def __init__(self, node: Node, prefix: str, served: ServedBundle, chosen: ServerParameters) -> None:
        below = prefix + served.namespace
        self.namespace = node.resolve_topic_name(f"{below}report").removesuffix("report")  # in full
        self.bundle = served.bundle
        self.publishers = ResultPublishers(node, below, served.heads, served.bundle.labels, chosen)
        self._node = node
        self._served = served
        self.publishers.publish_labels(self._now(), served.thresholds(chosen))

    def wanted(self, chosen: ServerParameters) -> bool:
        """Tell whether its bundle has to run."""
        return not chosen.lazy or self.publishers.listened()

    def answer(self, frame: ReceivedFrame, chosen: ServerParameters, totals: Totals) -> float | None:
        """Predict from a frame that suits the bundle and publish.

        Returns:
            Stamp to publication in ms, or NaN; None where the networks have been switched off.

        Raises:
            FrankensplitError: the frame cannot be decoded.
        """
        if (predictor := self._served.predictor) is None:
            return None
        thresholds = self._served.thresholds(chosen)
        prediction = frame.predict(predictor, self._heads_to_run(chosen))
        results = {name: at_least(result, thresholds[name]) for name, result in prediction.results.items()}
        self.publishers.publish_labels(self._now(), thresholds)
        self.publishers.publish_results(frame.header, results)
        report = _complete(frame.report(), prediction, self._now(), totals)
        self.publishers.publish_report(report)
        self.publishers.publish_views(frame.header, results)
        if self.publishers.wants_overlay():
            drawn = draw_overlay(frame.picture(), results, self.bundle.labels)
            self.publishers.publish_overlay(frame.header, drawn)
        return float(report.latency_ms)

    def _heads_to_run(self, chosen: ServerParameters) -> list[str]:
        active = self._served.active_heads(chosen)
        return self.publishers.listened_heads(active) if chosen.lazy else active

    def _now(self) -> Time:
        return self._node.get_clock().now().to_msg()


def _complete(report: FrameReport, prediction: Prediction, published: Time, totals: Totals) -> FrameReport:
    """Fill in what a frame's own report lacks; ``published`` (results) is a time of this machine."""
    report.entropy_ms = prediction.entropy_ms
    report.features_ms = prediction.features_ms
    report.heads = list(prediction.head_ms)
    report.head_ms = list(prediction.head_ms.values())
    report.latency_ms = elapsed_ms(report.header.stamp, published)
    report.received = totals.received
    report.lost = totals.lost
    report.dropped = totals.dropped
    report.rejected = totals.rejected
    return report


def _predictor(bundle: Bundle, chosen: ServerParameters) -> Predictor:
    # Torch takes seconds to import: only once parameters and bundles are known to be good.
    from frankensplit.inference.predictor import Predictor

    return Predictor(bundle, device=chosen.device, threads=chosen.threads)


def _heard(publisher: Publisher) -> bool:
    return publisher.get_subscription_count() > 0
