# SPDX-License-Identifier: Apache-2.0
"""Subscribe to latents and images, predict on the newest frame of each topic, publish what somebody listens to.

Two threads::

    executor                                          worker ("predict")
    robot1/latent ──▶ number, count, store ──▶ [1] ─╮
    robot2/latent ──▶ number, count, store ──▶ [1] ─┼─▶ decode ─▶ networks ─▶ results, report, views, overlay
    client/image  ──▶ number, count, store ──▶ [1] ─╯   one frame at a time, the topics in turn
    parameters, ~/enable, /diagnostics

One frame of each topic at most waits, the newest. When frames come faster than the networks take them, a newer frame
replaces the one that waits, which is counted as ``dropped``: no queue grows, a result is never older than one round
over the topics, and a fast robot takes no turn of a slow one. A frame is decoded once for all bundles that it suits.
A bundle or head that nobody listens to does not run, and a topic that nobody wants results of is not subscribed to
(``lazy``). ``~/enable`` off waits for the frame at work before it frees the networks. Changed parameters count from the
next frame on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from threading import Lock

from rclpy.node import Node

from frankensplit.bundle import Bundle
from fs_common.declare import ParameterSnapshot, declare, refuse_when
from fs_common.diagnostics import Diagnostics
from fs_common.lazy_input import LazyInput
from fs_common.running import run_node
from fs_common.stream import Stream
from fs_common.switch import Switch
from fs_common.topics import name_problem
from fs_common.worker import NewestWins
from fs_server_node.frames import ReceivedFrame
from fs_server_node.inputs import subscribe_images, subscribe_latents
from fs_server_node.names import bundles_problem, heads_problem, prefix_of, topics_problem
from fs_server_node.outputs import BundleOutputs, open_bundles, return_memory
from fs_server_node.parameters import ServerParameters


class ServedTopic:
    """One topic of latents or images, a robot's or a client's: its input, its counters, one output for each bundle."""

    input: LazyInput
    stream: Stream

    def __init__(self, name: str, outputs: Sequence[BundleOutputs]) -> None:
        self.name = name
        self.outputs = outputs
        self._suited: Sequence[BundleOutputs] = ()  # by the newest frame

    def wanted(self, chosen: ServerParameters) -> bool:
        """Tell whether any bundle has to run."""
        return any(one.wanted(chosen) for one in self.outputs)

    def wants_overlay(self) -> bool:
        """Tell whether anybody subscribes to an overlay of any bundle."""
        return any(one.publishers.wants_overlay() for one in self.outputs)

    def suited(self, frame: ReceivedFrame) -> Sequence[BundleOutputs]:
        """Give the outputs of the bundles that a frame suits, and remember them; raises as ``frame.suits``."""
        self._suited = [one for one in self.outputs if frame.suits(one.bundle)]
        return self._suited

    def facts(self) -> dict[str, str]:
        """Say where results of the newest frame are."""
        return {"results": ", ".join(one.namespace for one in self._suited)}

    def misled(self) -> str:
        """Say that somebody listens where nothing comes, since the packets are of another bundle; or nothing."""
        misled = [one for one in self.outputs if one not in self._suited and one.publishers.listened()]
        if not misled or not self._suited:
            return ""
        return (
            f"somebody listens below {_named(misled)}, and packets of {self.name} are for {_named(self._suited)}: "
            "listen there, or start the edge with the other bundle"
        )


class ServerNode(Node):
    """Frames in, predictions out."""

    def __init__(self) -> None:
        super().__init__("server")
        chosen = declare(self, ServerParameters)
        for name in ("latent_topics", "image_topics", "overlay_image"):
            refuse_when(self, name, partial(self._name_problem, name))
        refuse_when(self, "latent_topics", lambda topics: topics_problem((*topics, *chosen.image_topics)))
        bundles = [Bundle.open(name) for name in (chosen.bundle, *chosen.more_bundles)]
        topics = (*chosen.latent_topics, *chosen.image_topics)
        refuse_when(self, "more_bundles", lambda _: bundles_problem(bundles, topics))
        names = " and ".join(bundle.name for bundle in bundles)
        self.get_logger().info(f"loading bundle {names} on {chosen.device}")
        self._bundles = open_bundles(bundles, chosen)
        heads_there = [name for one in self._bundles for name in one.heads]
        refuse_when(self, "heads", lambda heads: heads_problem(heads_there, heads))
        self._snapshot = ParameterSnapshot(self, ServerParameters)
        self._at_work = Lock()  # networks are not freed under a frame
        self._worker = NewestWins[ReceivedFrame](self._work, "predict")
        self._switch = Switch(self, self._free, self._load, self._follow)
        self._topics = {name: self._open_topic(name) for name in topics}
        codecs = {bundle.codec.id_hex for bundle in bundles}
        streams = [topic.stream for topic in self._topics.values()]
        self._diagnostics = Diagnostics(self, ", ".join(sorted(codecs)), streams)
        self._say_ready()

    def destroy_node(self) -> None:
        """End the worker, then the node."""
        for name in self._worker.close():
            self._topics[name].stream.meter.add(dropped=1)
        super().destroy_node()

    @property
    def _chosen(self) -> ServerParameters:
        return self._snapshot.values

    def _name_problem(self, parameter: str, value: str | Sequence[str]) -> str | None:
        topics = [value] if isinstance(value, str) else value
        problems = (name_problem(self, parameter, topic) for topic in topics if topic)
        return next((problem for problem in problems if problem), None)

    def _open_topic(self, name: str) -> ServedTopic:
        chosen = self._chosen
        topic = ServedTopic(
            name, [BundleOutputs(self, prefix_of(name), served, chosen) for served in self._bundles]
        )
        take, wanted = partial(self._take, topic), partial(self._wanted, topic)
        if name in chosen.latent_topics:
            codecs = {served.bundle.codec.id: served.bundle.codec for served in self._bundles}
            wants_overlay = lambda: self._switch.on and topic.wants_overlay()  # noqa: E731
            topic.input = subscribe_latents(self, name, chosen, codecs, wanted, wants_overlay, take)
        else:
            topic.input = subscribe_images(self, name, chosen, wanted, take)
        warnings = (topic.input.source.crowd, topic.misled)
        topic.stream = Stream(self, name, wanted, topic.input, topic.facts, warnings, self._switch)
        return topic

    def _wanted(self, topic: ServedTopic) -> bool:
        return self._switch.on and topic.wanted(self._chosen)

    def _follow(self) -> None:
        for topic in self._topics.values():
            topic.input.follow()

    def _free(self) -> None:
        with self._at_work:
            for served in self._bundles:
                served.free()
        return_memory()

    def _load(self) -> None:
        for served in self._bundles:
            served.load(self._chosen)

    def _take(self, topic: ServedTopic, frame: ReceivedFrame, missing: Mapping[str, int]) -> None:
        meter = topic.stream.meter
        meter.arrive()
        meter.add(**missing)
        if not topic.stream.wanted():
            meter.add(unheard=1)
        elif self._worker.put(topic.name, frame):
            meter.add(dropped=1)

    def _work(self, name: str, frame: ReceivedFrame) -> None:
        topic = self._topics[name]
        with self._at_work:
            topic.stream.guard(lambda: self._answer(topic, frame))

    def _answer(self, topic: ServedTopic, frame: ReceivedFrame) -> None:
        chosen, meter = self._chosen, topic.stream.meter
        suited = topic.suited(frame)
        given = [one.answer(frame, chosen, meter.totals()) for one in suited if one.wanted(chosen)]
        if latencies_ms := [one for one in given if one is not None]:
            meter.publish(frame.payload_bytes, latencies_ms[-1])
        else:
            meter.add(unheard=1)  # who listened has left since the frame came

    def _say_ready(self) -> None:
        served = "; ".join(
            f"bundle {one.bundle.name}, codec {one.bundle.codec.id_hex}, heads {', '.join(one.heads)}"
            for one in self._bundles
        )
        heard = ", ".join(
            f"{topic.name} (results below {', '.join(one.namespace for one in topic.outputs)})"
            for topic in self._topics.values()
        )
        self.get_logger().info(f"ready: {served} on {self._chosen.device}; listening to {heard}")


def main(args: list[str] | None = None) -> int:
    """Run the server node until a signal; return the exit status."""
    return run_node(ServerNode, args)


def _named(outputs: Sequence[BundleOutputs]) -> str:
    return ", ".join(f"{one.namespace} (bundle {one.bundle.name})" for one in outputs)
