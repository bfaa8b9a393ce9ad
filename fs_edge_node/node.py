# SPDX-License-Identifier: Apache-2.0
"""Subscribe to a camera, encode the newest frame, publish it as ``latent``."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from frankensplit.bundle import CODEC_FORMAT, Codec
from frankensplit.edge.encoder import EncodedFrame, FrameEncoder
from fs_common.declare import declare
from fs_common.diagnostics import Diagnostics
from fs_common.images import AnyImage, byte_array, compressed_to_rgb, open_converter
from fs_common.qos import keep_last
from fs_common.running import run_node
from fs_common.stream import Stream
from fs_common.times import elapsed_ms
from fs_common.worker import NewestWins
from fs_edge_node.parameters import EdgeParameters
from fs_msgs.msg import CompressedLatent

STREAM = "image"


@dataclass(frozen=True)
class Arrival:
    """An image and when it came (node clock)."""

    image: AnyImage
    received: Time


class EdgeNode(Node):
    """Images in, latents out; the callback only stores the newest image, a worker thread does the rest."""

    def __init__(self) -> None:
        super().__init__("edge")
        chosen = declare(self, EdgeParameters)
        codec = Codec.open(chosen.bundle)
        self._encoder = FrameEncoder(codec, runtime=chosen.runtime, threads=chosen.threads)
        self._to_rgb: Callable[[AnyImage], NDArray[np.uint8]] = (
            open_converter(chosen.converter) if chosen.transport == "raw" else compressed_to_rgb
        )
        self._sequence = 0
        self._publisher = self.create_publisher(
            CompressedLatent, "latent", keep_last(chosen.latent_reliability, chosen.latent_depth)
        )
        self._stream = Stream(self, STREAM, self._wanted)
        self._worker = NewestWins[Arrival](self._work, "encode")
        self._subscribe(chosen)
        self._diagnostics = Diagnostics(self, codec.id_hex, [self._stream])
        self.get_logger().info(
            f"ready: codec {codec.id_hex} from {codec.path}, {chosen.runtime}, {chosen.transport}"
        )

    def destroy_node(self) -> None:
        """End the worker, then the node."""
        self._worker.close()
        super().destroy_node()

    def _subscribe(self, chosen: EdgeParameters) -> None:
        raw = chosen.transport == "raw"
        kind, topic = (Image, "image") if raw else (CompressedImage, "image/compressed")
        qos = keep_last(chosen.image_reliability, chosen.image_depth)
        self.create_subscription(kind, topic, self._on_image, qos)

    def _wanted(self) -> bool:
        return not self.get_parameter("lazy").value or self._publisher.get_subscription_count() > 0

    def _on_image(self, image: AnyImage) -> None:
        self._stream.meter.arrive()
        if self._wanted():
            arrival = Arrival(image, self.get_clock().now().to_msg())
            if self._worker.put(STREAM, arrival):
                self._stream.meter.add(dropped=1)

    def _work(self, _stream: str, arrival: Arrival) -> None:
        self._stream.guard(lambda: self._encode(arrival))

    def _encode(self, arrival: Arrival) -> None:
        started = time.perf_counter()
        rgb = self._to_rgb(arrival.image)
        convert_ms = (time.perf_counter() - started) * 1e3
        frame = self._encoder.encode(rgb)
        self._publisher.publish(self._latent(arrival, rgb.shape, frame, convert_ms))
        self._sequence = (self._sequence + 1) % 2**32
        now = self.get_clock().now().to_msg()
        self._stream.meter.publish(len(frame.data), elapsed_ms(arrival.image.header.stamp, now))

    def _latent(
        self, arrival: Arrival, shape: tuple[int, ...], frame: EncodedFrame, convert_ms: float
    ) -> CompressedLatent:
        return CompressedLatent(
            header=arrival.image.header,
            height=shape[0],
            width=shape[1],
            format=CODEC_FORMAT,
            sequence=self._sequence,
            received=arrival.received,
            preprocess_ms=convert_ms + frame.preprocess_ms,
            encode_ms=frame.encode_ms,
            entropy_ms=frame.entropy_ms,
            data=byte_array(frame.data),
        )


def main(args: list[str] | None = None) -> int:
    """Run the edge node until a signal; return the exit status."""
    return run_node(EdgeNode, args)
