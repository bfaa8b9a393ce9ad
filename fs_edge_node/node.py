# SPDX-License-Identifier: Apache-2.0
"""Subscribe to a camera, encode the newest frame, publish it as ``latent``.

A frame goes through three threads, so that one is received and prepared while the one before is in the network: the
callback stores it, ``prepare`` makes network input of it, ``finish`` encodes and publishes it. One image at most
waits to be prepared, the newest: an older one is dropped. One prepared frame at most waits for the network, and it is
prepared as late as ``Pace`` allows, so that it is of the newest image too and none is prepared in vain.

Each copy of an image on this way: DDS to message (rclpy); colours (none for ``rgb8``), or the file of a compressed
image and its pixels; scaling (none at the nominal size); padding (none where the sides are multiples). The runtime
reads what comes out in place. The message is let go of when it has been prepared.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from frankensplit.bundle import CODEC_FORMAT, Codec
from frankensplit.edge.encoder import EncodedFrame, PreparedFrame
from frankensplit.edge.rate_control import Limits, RateControl
from fs_common.declare import declare, narrow, refuse_when
from fs_common.diagnostics import Diagnostics
from fs_common.images import AnyImage, byte_array, compressed_to_rgb, open_converter
from fs_common.lazy_input import LazyInput, output_events
from fs_common.qos import keep_last
from fs_common.running import run_node
from fs_common.stream import Stream
from fs_common.times import elapsed_ms
from fs_common.worker import NewestWins
from fs_edge_node.encoding import level_problem, open_encoder
from fs_edge_node.pace import Pace
from fs_edge_node.parameters import EdgeParameters
from fs_msgs.msg import CompressedLatent

STREAM = "image"


@dataclass(frozen=True)
class Arrival:
    """An image and when it came (node clock)."""

    image: AnyImage
    received: Time


@dataclass(frozen=True)
class Ready:
    """A prepared frame, and what its latent takes over from the image."""

    frame: PreparedFrame
    header: Header
    received: Time
    convert_ms: float


class EdgeNode(Node):
    """Images in, latents out."""

    def __init__(self) -> None:
        super().__init__("edge")
        self._chosen = declare(self, EdgeParameters)
        self._codec = Codec.open(self._chosen.bundle)
        refuse_when(self, "level", lambda level: level_problem(self._codec, level))
        narrow(self, "level", len(self._codec.levels) - 1)
        self._encoder = open_encoder(self._codec, self._chosen)
        self._rate = RateControl([level.step for level in self._codec.levels], self._limits())
        self._to_rgb: Callable[[AnyImage], NDArray[np.uint8]] = (
            open_converter(self._chosen.converter) if self._chosen.transport == "raw" else compressed_to_rgb
        )
        self._sequence = 0
        self._level = self._chosen.level  # of the newest packet
        self._publisher = self.create_publisher(
            CompressedLatent,
            "latent",
            keep_last(self._chosen.latent_reliability, self._chosen.latent_depth),
            event_callbacks=output_events(lambda: self._input.follow()),
        )
        self._pace = Pace(wake=lambda: self._preparer.wake())
        self._preparer = NewestWins[Arrival](self._work_prepare, "prepare", self._pace.hold_s)
        self._finisher = NewestWins[Ready](self._work_finish, "finish")
        topic = "image" if self._chosen.transport == "raw" else "image/compressed"
        self._input = LazyInput(self, topic, self._wanted, lambda: self._subscribe(topic))
        self._stream = Stream(self, STREAM, self._wanted, self._input, self._facts)
        self._diagnostics = Diagnostics(self, self._codec.id_hex, [self._stream])
        self._say_ready()

    def destroy_node(self) -> None:
        """End the workers in the order of the frames' way, then the node."""
        for worker in (self._preparer, self._finisher):
            self._stream.meter.add(dropped=len(worker.close()))
        super().destroy_node()

    def _subscribe(self, topic: str) -> Subscription:
        kind = Image if topic == "image" else CompressedImage
        qos = keep_last(self._chosen.image_reliability, self._chosen.image_depth)
        return self.create_subscription(kind, topic, self._on_image, qos)

    def _wanted(self) -> bool:
        return not self.get_parameter("lazy").value or self._publisher.get_subscription_count() > 0

    def _limits(self) -> Limits:
        return Limits(*(self.get_parameter(name).value for name in ("level", "target_kbps", "max_fps")))

    def _on_image(self, image: AnyImage) -> None:
        received = self.get_clock().now().to_msg()
        self._stream.meter.arrive()
        if not self._wanted():
            self._stream.meter.add(unheard=1)
            return
        self._rate.limit(self._limits())
        if not self._rate.takes():
            self._stream.meter.add(skipped=1)
        elif self._preparer.put(STREAM, Arrival(image, received)):
            self._stream.meter.add(dropped=1)

    def _work_prepare(self, _stream: str, arrival: Arrival) -> None:
        self._stream.guard(lambda: self._prepare(arrival))

    def _prepare(self, arrival: Arrival) -> None:
        started = time.perf_counter()
        rgb = self._to_rgb(arrival.image)
        convert_ms = (time.perf_counter() - started) * 1e3
        ready = Ready(self._encoder.prepare(rgb), arrival.image.header, arrival.received, convert_ms)
        self._pace.prepared(time.perf_counter() - started)
        if self._finisher.put(STREAM, ready):
            self._stream.meter.add(dropped=1)

    def _work_finish(self, _stream: str, ready: Ready) -> None:
        with self._pace.finishing():
            self._stream.guard(lambda: self._finish(ready))

    def _finish(self, ready: Ready) -> None:
        level = self._rate.level()
        if level is None:
            self._stream.meter.add(skipped=1)
            return
        frame = self._encoder.finish(ready.frame, level)
        self._rate.spent(len(frame.data))
        self._publisher.publish(self._latent(ready, frame))
        self._sequence, self._level = (self._sequence + 1) % 2**32, level
        now = self.get_clock().now().to_msg()
        self._stream.meter.publish(len(frame.data), elapsed_ms(ready.header.stamp, now))

    def _latent(self, ready: Ready, frame: EncodedFrame) -> CompressedLatent:
        return CompressedLatent(
            header=ready.header,
            height=ready.frame.height,
            width=ready.frame.width,
            format=CODEC_FORMAT,
            sequence=self._sequence,
            received=ready.received,
            preprocess_ms=ready.convert_ms + frame.preprocess_ms,
            encode_ms=frame.encode_ms,
            entropy_ms=frame.entropy_ms,
            data=byte_array(frame.data),
        )

    def _facts(self) -> dict[str, str]:
        return {
            "level": str(self._level),
            "runtime": self._encoder.choice.name,
            "precision": self._chosen.precision,
        }

    def _say_ready(self) -> None:
        codec, chosen, choice = self._codec, self._chosen, self._encoder.choice
        if choice.refused:
            self.get_logger().info(f"{choice}")
        how = f"{choice.name} in {chosen.precision}, {chosen.transport}"
        self.get_logger().info(f"ready: codec {codec.id_hex} from {codec.path}, {how}")


def main(args: list[str] | None = None) -> int:
    """Run the edge node until a signal; return the exit status."""
    return run_node(EdgeNode, args)
