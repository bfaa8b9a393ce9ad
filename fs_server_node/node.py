# SPDX-License-Identifier: Apache-2.0
"""Subscribe to latents and images, predict on the newest of each topic, publish what somebody listens to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from threading import Lock

from rclpy.node import Node

from frankensplit.bundle import Bundle
from fs_common.declare import declare, read, refuse_when
from fs_common.diagnostics import Diagnostics
from fs_common.lazy_input import LazyInput
from fs_common.running import run_node
from fs_common.stream import Stream
from fs_common.switch import Switch
from fs_common.topics import name_problem
from fs_common.worker import NewestWins
from fs_server_node.answers import Answers
from fs_server_node.frame import Frame
from fs_server_node.inputs import subscribe_images, subscribe_latents
from fs_server_node.names import bundles_problem, prefix_of, topics_problem
from fs_server_node.parameters import ServerParameters
from fs_server_node.robot import Robot
from fs_server_node.served import heads_problem, open_served, return_memory


class ServerNode(Node):
    """Frames in, predictions out; callbacks only store the newest frame, a worker thread does the rest."""

    def __init__(self) -> None:
        super().__init__("server")
        chosen = declare(self, ServerParameters)
        for name in ("latent_topics", "image_topics", "overlay_image"):
            refuse_when(self, name, partial(self._name_problem, name))
        refuse_when(self, "latent_topics", lambda topics: topics_problem((*topics, *chosen.image_topics)))
        bundles = [Bundle.open(name) for name in (chosen.bundle, *chosen.more_bundles)]
        topics = (*chosen.latent_topics, *chosen.image_topics)
        refuse_when(self, "more_bundles", lambda _: bundles_problem(bundles, topics))
        self._served = open_served(bundles, chosen)
        refuse_when(self, "heads", lambda heads: heads_problem(self._served, heads))
        self._at_work = Lock()  # networks are not freed under a frame
        self._worker = NewestWins[Frame](self._work, "predict")
        self._switch = Switch(self, self._free, self._load, self._follow)
        self._inputs: list[LazyInput] = []
        self._robots = {topic: self._make_robot(topic, chosen) for topic in topics}
        codecs = {bundle.codec.id_hex for bundle in bundles}
        streams = [robot.stream for robot in self._robots.values()]
        self._diagnostics = Diagnostics(self, ", ".join(sorted(codecs)), streams)
        self._say_ready(chosen)

    def destroy_node(self) -> None:
        """End the worker, then the node."""
        for topic in self._worker.close():
            self._robots[topic].stream.meter.add(dropped=1)
        super().destroy_node()

    def _name_problem(self, parameter: str, value: str | Sequence[str]) -> str | None:
        topics = [value] if isinstance(value, str) else value
        problems = (name_problem(self, parameter, topic) for topic in topics if topic)
        return next((problem for problem in problems if problem), None)

    def _make_robot(self, topic: str, chosen: ServerParameters) -> Robot:
        robot = Robot(topic, [Answers(self, prefix_of(topic), served, chosen) for served in self._served])
        take, wanted = partial(self._take, robot), partial(self._wanted, robot)
        if topic in chosen.latent_topics:
            codecs = {served.bundle.codec.id: served.bundle.codec for served in self._served}
            wants_overlay = lambda: self._switch.on and robot.wants_overlay()  # noqa: E731
            lazy_input = subscribe_latents(self, topic, chosen, codecs, wanted, wants_overlay, take)
        else:
            lazy_input = subscribe_images(self, topic, chosen, wanted, take)
        self._inputs.append(lazy_input)
        warnings = (lazy_input.source.crowd, robot.misled)
        robot.stream = Stream(self, topic, wanted, lazy_input, robot.facts, warnings, self._switch)
        return robot

    def _wanted(self, robot: Robot) -> bool:
        if not self._switch.on:
            return False
        chosen = self._chosen()
        return any(one.wanted(chosen) for one in robot.answers)

    def _follow(self) -> None:
        for one in self._inputs:
            one.follow()

    def _free(self) -> None:
        with self._at_work:
            for served in self._served:
                served.free()
        return_memory()

    def _load(self) -> None:
        for served in self._served:
            served.load(self._chosen())

    def _take(self, robot: Robot, frame: Frame, missing: Mapping[str, int]) -> None:
        meter = robot.stream.meter
        meter.arrive()
        meter.add(**missing)
        if not robot.stream.wanted():
            meter.add(unheard=1)
        elif self._worker.put(robot.topic, frame):
            meter.add(dropped=1)

    def _work(self, topic: str, frame: Frame) -> None:
        robot = self._robots[topic]
        with self._at_work:
            robot.stream.guard(lambda: self._answer(robot, frame))

    def _answer(self, robot: Robot, frame: Frame) -> None:
        chosen, meter = self._chosen(), robot.stream.meter
        suited = [one for one in robot.answers if frame.suits(one.bundle)]
        robot.suited(suited)
        given = [one.give(frame, chosen, meter.totals()) for one in suited if one.wanted(chosen)]
        if latencies_ms := [one for one in given if one is not None]:
            meter.publish(frame.payload_bytes, latencies_ms[-1])
        else:
            meter.add(unheard=1)  # who listened has left since the frame came

    def _chosen(self) -> ServerParameters:
        return read(self, ServerParameters)

    def _say_ready(self, chosen: ServerParameters) -> None:
        served = "; ".join(
            f"bundle {one.bundle.name}, codec {one.bundle.codec.id_hex}, heads {', '.join(one.heads)}"
            for one in self._served
        )
        heard = ", ".join(
            f"{topic} (results below {', '.join(one.place for one in robot.answers)})"
            for topic, robot in self._robots.items()
        )
        self.get_logger().info(f"ready: {served} on {chosen.device}; listening to {heard}")


def main(args: list[str] | None = None) -> int:
    """Run the server node until a signal; return the exit status."""
    return run_node(ServerNode, args)
