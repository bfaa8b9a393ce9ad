# SPDX-License-Identifier: Apache-2.0
"""What one bundle answers to one robot or client: run what is listened to, publish it, say what it cost."""

from __future__ import annotations

from builtin_interfaces.msg import Time
from rclpy.node import Node

from frankensplit.bundle import Bundle
from frankensplit.inference.overlay import draw_overlay
from fs_common.meter import Totals
from fs_server_node.frame import Frame
from fs_server_node.messages import at_least
from fs_server_node.outputs import Outputs
from fs_server_node.parameters import ServerParameters
from fs_server_node.report import complete
from fs_server_node.served import Served


class Answers:
    """Publish a bundle's results below ``prefix`` (``robot1/`` or nothing) and the bundle's own place."""

    def __init__(self, node: Node, prefix: str, served: Served, chosen: ServerParameters) -> None:
        self._node = node
        self._served = served
        self.place = node.resolve_topic_name(f"{prefix}{served.place}report").removesuffix("report")
        self._outputs = Outputs(node, prefix + served.place, served.heads, served.bundle.labels, chosen)
        self._outputs.publish_labels(self._now(), served.thresholds(chosen))

    @property
    def bundle(self) -> Bundle:
        """The bundle that answers."""
        return self._served.bundle

    def wanted(self, chosen: ServerParameters) -> bool:
        """Tell whether its bundle has to run."""
        return not chosen.lazy or self._outputs.listened()

    def listened(self) -> bool:
        """Tell whether anybody subscribes to any of its results."""
        return self._outputs.listened()

    def wants_overlay(self) -> bool:
        """Tell whether anybody subscribes to the overlay, raw or compressed."""
        return self._outputs.wants_overlay()

    def give(self, frame: Frame, chosen: ServerParameters, totals: Totals) -> float | None:
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
        self._outputs.publish_labels(self._now(), thresholds)
        self._outputs.publish_results(frame.header, results)
        report = complete(frame.report(), prediction, self._now(), totals)
        self._outputs.publish_report(report)
        self._outputs.publish_views(frame.header, results)
        if self._outputs.wants_overlay():
            drawn = draw_overlay(frame.picture(), results, self.bundle.labels)
            self._outputs.publish_overlay(frame.header, drawn)
        return float(report.latency_ms)

    def _heads_to_run(self, chosen: ServerParameters) -> list[str]:
        active = self._served.active_heads(chosen)
        return self._outputs.listened_heads(active) if chosen.lazy else active

    def _now(self) -> Time:
        return self._node.get_clock().now().to_msg()
