# SPDX-License-Identifier: Apache-2.0
"""Subscribe to latents, predict on the newest of each robot, publish every head that somebody listens to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from builtin_interfaces.msg import Time
from rclpy.node import Node
from sensor_msgs.msg import Image

from frankensplit.bundle import CODEC_FORMAT, Bundle
from frankensplit.errors import PacketError
from frankensplit.inference.overlay import draw_overlay
from frankensplit.results import Result
from fs_common.declare import declare, read, refuse_when
from fs_common.diagnostics import Diagnostics
from fs_common.qos import keep_last
from fs_common.running import run_node
from fs_common.stream import Stream
from fs_common.times import elapsed_ms
from fs_common.worker import NewestWins
from fs_msgs.msg import CompressedLatent
from fs_server_node.messages import at_least
from fs_server_node.outputs import Outputs
from fs_server_node.parameters import ALL_HEADS, ServerParameters
from fs_server_node.report import frame_report
from fs_server_node.robot import Robot, prefix_of

if TYPE_CHECKING:
    from frankensplit.inference.predictor import Prediction, Predictor


@dataclass(frozen=True)
class Arrival:
    """A latent and when it came (node clock)."""

    latent: CompressedLatent
    received: Time


class ServerNode(Node):
    """Latents in, predictions out; callbacks only store the newest latent, a worker thread does the rest."""

    def __init__(self) -> None:
        super().__init__("server")
        chosen = declare(self, ServerParameters)
        refuse_when(self, "latent_topics", _topics_problem)
        self._bundle = Bundle.open(chosen.bundle)
        self._predictor = _open_predictor(self._bundle, chosen)
        refuse_when(self, "heads", self._heads_problem)
        self._robots = {topic: self._make_robot(topic, chosen) for topic in chosen.latent_topics}
        self._worker = NewestWins[Arrival](self._work, "predict")
        for robot in self._robots.values():
            self._subscribe(robot, chosen)
        self._diagnostics = Diagnostics(
            self, self._bundle.codec.id_hex, [robot.stream for robot in self._robots.values()]
        )
        self.get_logger().info(
            f"ready: bundle {self._bundle.name}, codec {self._bundle.codec.id_hex}, heads "
            f"{', '.join(self._predictor.heads)} on {chosen.device}; listening to {', '.join(self._robots)}"
        )

    def destroy_node(self) -> None:
        """End the worker, then the node."""
        self._worker.close()
        super().destroy_node()

    def _make_robot(self, topic: str, chosen: ServerParameters) -> Robot:
        outputs = Outputs(self, prefix_of(topic), self._predictor.heads, chosen)
        outputs.publish_labels(self._now(), self._thresholds(chosen))
        stream = Stream(self, topic, lambda: not self._chosen().lazy or outputs.listened())
        return Robot(topic, outputs, stream)

    def _subscribe(self, robot: Robot, chosen: ServerParameters) -> None:
        latent_qos = keep_last(chosen.latent_reliability, chosen.latent_depth)
        self.create_subscription(CompressedLatent, robot.topic, partial(self._on_latent, robot), latent_qos)
        if chosen.overlay_image:
            topic = prefix_of(robot.topic) + chosen.overlay_image
            image_qos = keep_last(chosen.image_reliability, chosen.image_depth)
            self.create_subscription(Image, topic, partial(_on_image, robot), image_qos)

    def _on_latent(self, robot: Robot, latent: CompressedLatent) -> None:
        meter = robot.stream.meter
        meter.arrive()
        meter.add(lost=robot.gaps.lost_before(latent.sequence))
        if robot.stream.wanted() and self._worker.put(robot.topic, Arrival(latent, self._now())):
            meter.add(dropped=1)

    def _work(self, topic: str, arrival: Arrival) -> None:
        robot = self._robots[topic]
        robot.stream.guard(lambda: self._predict(robot, arrival))

    def _predict(self, robot: Robot, arrival: Arrival) -> None:
        latent, chosen = arrival.latent, self._chosen()
        if latent.format != CODEC_FORMAT:
            raise PacketError(
                f"latent has format {latent.format!r}, expected {CODEC_FORMAT!r}: update both sides"
            )
        thresholds = self._thresholds(chosen)
        prediction = self._predictor.predict(bytes(latent.data), self._heads_to_run(robot, chosen))
        results = {name: at_least(result, thresholds[name]) for name, result in prediction.results.items()}
        robot.outputs.publish_labels(self._now(), thresholds)
        robot.outputs.publish_results(latent.header, results)
        self._account(robot, arrival, prediction)
        if robot.outputs.wants_overlay():
            self._draw(robot, latent, prediction, results)

    def _thresholds(self, chosen: ServerParameters) -> dict[str, float]:
        asked = chosen.score_threshold
        heads = self._predictor.heads.values()
        return {head.name: asked if asked and head.kind == "boxes" else head.threshold for head in heads}

    def _heads_to_run(self, robot: Robot, chosen: ServerParameters) -> list[str]:
        active = list(self._predictor.heads) if ALL_HEADS in chosen.heads else list(chosen.heads)
        return robot.outputs.listened_heads(active) if chosen.lazy else active

    def _account(self, robot: Robot, arrival: Arrival, prediction: Prediction) -> None:
        latent, published, meter = arrival.latent, self._now(), robot.stream.meter
        meter.publish(len(latent.data), elapsed_ms(latent.header.stamp, published))
        report = frame_report(latent, arrival.received, prediction, published, meter.totals())
        robot.outputs.publish_report(report)

    def _draw(
        self, robot: Robot, latent: CompressedLatent, prediction: Prediction, results: Mapping[str, Result]
    ) -> None:
        size = prediction.packet.source_height, prediction.packet.source_width
        rgb = robot.backdrop.for_frame(latent.header, *size)
        robot.outputs.publish_overlay(latent.header, draw_overlay(rgb, results, self._bundle.labels))

    def _chosen(self) -> ServerParameters:
        return read(self, ServerParameters)

    def _now(self) -> Time:
        return self.get_clock().now().to_msg()

    def _heads_problem(self, heads: tuple[str, ...]) -> str | None:
        known = (ALL_HEADS, *self._predictor.heads)
        unknown = [name for name in heads if name not in known]
        return f"heads names {', '.join(unknown)}: this bundle has {', '.join(known)}" if unknown else None


def _open_predictor(bundle: Bundle, chosen: ServerParameters) -> Predictor:
    # Torch takes seconds to import: only once parameters and bundle are known to be good.
    from frankensplit.inference.predictor import Predictor

    return Predictor(bundle, device=chosen.device, threads=chosen.threads)


def _on_image(robot: Robot, image: Image) -> None:
    if robot.outputs.wants_overlay():
        robot.backdrop.keep(image)


def _topics_problem(topics: tuple[str, ...]) -> str | None:
    prefixes = [prefix_of(topic) for topic in topics]
    if topics and len(set(prefixes)) == len(prefixes):
        return None
    return f"latent_topics is {list(topics)}: give each a namespace of its own, like robot1/latent, robot2/latent"


def main(args: list[str] | None = None) -> int:
    """Run the server node until a signal; return the exit status."""
    return run_node(ServerNode, args)
