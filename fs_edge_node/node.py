# SPDX-License-Identifier: Apache-2.0
"""Subscribe to a camera, encode the newest frame, publish it as ``latent``.

A frame goes through three threads, so that one is received and prepared while the one before is in the network: the
callback stores it, ``prepare`` makes network input of it, ``finish`` encodes and publishes it. One image at most
waits to be prepared, the newest: an older one is dropped. One prepared frame at most waits for the network, and it is
prepared as late as ``Pace`` allows, so that it is of the newest image too and none is prepared in vain. Previews, where
they are asked for, are made in a thread of their own of frames whose latents have been published.

Each copy of an image on this way: DDS to message (rclpy); colours (none for ``rgb8``), or the file of a compressed
image and its pixels; scaling (none at the nominal size); padding (none where the sides are multiples). The runtime
reads what comes out in place. The message is let go of when it has been prepared, or has been shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from frankensplit.bundle import CODEC_FORMAT, Codec
from frankensplit.edge.encoder import EncodedFrame, FrameEncoder, PreparedFrame
from frankensplit.edge.rate_control import Limits, RateControl
from frankensplit.fast_dds import export_line
from fs_common.cadence import Cadence
from fs_common.declare import ParameterSnapshot, declare, narrow, refuse_when
from fs_common.diagnostics import Diagnostics
from fs_common.images import AnyImage, byte_array, compressed_to_rgb, open_converter
from fs_common.lazy_input import LazyInput, output_events
from fs_common.publishers import Source
from fs_common.qos import keep_last
from fs_common.running import run_node
from fs_common.stream import Stream
from fs_common.switch import Switch
from fs_common.times import elapsed_ms, stamp_ns
from fs_common.topics import is_compressed
from fs_common.worker import NewestWins
from fs_edge_node.encoding import level_problem, open_encoder
from fs_edge_node.pace import Pace
from fs_edge_node.parameters import EdgeParameters
from fs_edge_node.preview import Preview
from fs_msgs.msg import CompressedLatent

STREAM = "image"
CURES = {
    "sensor_msgs/msg/CompressedImage": "transport:=compressed",
    "sensor_msgs/msg/Image": "transport:=raw",
}


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
    shown: NDArray[np.uint8] | None  # what a preview is made of, if one is due


class EdgeNode(Node):
    """Images in, latents out."""

    def __init__(self) -> None:
        super().__init__("edge")
        declare(self, EdgeParameters)
        self._snapshot = ParameterSnapshot(self, EdgeParameters)
        self._codec = Codec.open(self._chosen.bundle)
        refuse_when(self, "level", lambda level: level_problem(self._codec, level))
        narrow(self, "level", len(self._codec.levels) - 1)
        self._encoder: FrameEncoder | None = open_encoder(self._codec, self._chosen)
        self._rate = RateControl([level.step for level in self._codec.levels], self._limits())
        source = self._source()
        self._to_rgb: Callable[[AnyImage], NDArray[np.uint8]] = (
            open_converter(self._chosen.converter) if source.kind is Image else compressed_to_rgb
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
        self._cadence = Cadence()
        self._switch = Switch(self, self._free, self._take, lambda: self._input.follow())
        self._preview = (
            Preview(self, self._snapshot, self._rate, lambda: self._stream, lambda: self._input.follow())
            if self._chosen.preview
            else None
        )
        self._input = LazyInput(source, self._on_image, self._needed, told=True)
        warnings = (source.crowd, self._few)
        self._stream = Stream(self, STREAM, self._wanted, self._input, self._facts, warnings, self._switch)
        self._diagnostics = Diagnostics(self, self._codec.id_hex, [self._stream])
        self._say_ready()

    def destroy_node(self) -> None:
        """End the workers in the order of the frames' way, then the node."""
        for worker in (self._preparer, self._finisher):
            self._stream.meter.add(dropped=len(worker.close()))
        if self._preview:
            self._preview.close()
        super().destroy_node()

    @property
    def _chosen(self) -> EdgeParameters:
        return self._snapshot.values

    def _source(self) -> Source:
        compressed = self._chosen.transport == "compressed"
        topic = self.resolve_topic_name("image/compressed" if compressed else "image")
        return Source(
            self,
            topic,
            CompressedImage if compressed or is_compressed(topic) else Image,
            "image",
            self._chosen.image_reliability,
            self._chosen.image_depth,
            CURES,
            "name one camera's by image_topic",
        )

    def _few(self) -> str:
        share = self._cadence.few()
        if share is None:
            return ""
        return (
            f"images come at {share.arriving_hz:.1f} Hz, by their stamps the camera takes {share.taken_hz:.1f} Hz: "
            "give the camera driver's process the Fast DDS profile too, or make driver and image_reliability reliable "
            f"(else this machine is too busy); in the driver's shell: {export_line()}"
        )

    def _free(self) -> None:
        self._encoder = None

    def _take(self) -> None:
        self._encoder = open_encoder(self._codec, self._chosen)

    def _wanted(self) -> bool:
        if not self._switch.on:
            return False
        return not self._chosen.lazy or self._publisher.get_subscription_count() > 0

    def _needed(self) -> bool:
        return self._wanted() or (self._preview is not None and self._switch.on and self._preview.listened())

    def _preview_due(self) -> bool:
        return self._preview is not None and self._switch.on and self._preview.due()

    def _limits(self) -> Limits:
        chosen = self._chosen
        return Limits(chosen.level, chosen.target_kbps, chosen.max_fps)

    def _on_image(self, image: AnyImage) -> None:
        received = self.get_clock().now().to_msg()
        self._stream.meter.arrive()
        self._cadence.add(stamp_ns(image.header.stamp))
        if not (self._wanted() or self._preview_due()):
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
        encoder = self._encoder  # which may be switched off under our hands
        if encoder is None:
            self._stream.meter.add(unheard=1)
            return
        started = time.perf_counter()
        rgb = self._to_rgb(arrival.image)
        convert_ms = (time.perf_counter() - started) * 1e3
        if self._preview and not self._wanted():
            self._stream.meter.add(unheard=1)  # but by an operator
            self._preview.offer(arrival.image.header, rgb)
            return
        shown = rgb if self._preview_due() else None
        ready = Ready(encoder.prepare(rgb), arrival.image.header, arrival.received, convert_ms, shown)
        self._pace.prepared(time.perf_counter() - started)
        if self._finisher.put(STREAM, ready):
            self._stream.meter.add(dropped=1)

    def _work_finish(self, _stream: str, ready: Ready) -> None:
        with self._pace.finishing():
            self._stream.guard(lambda: self._finish(ready))

    def _finish(self, ready: Ready) -> None:
        encoder = self._encoder
        if encoder is None:
            self._stream.meter.add(unheard=1)
            return
        level = self._rate.level()
        if level is None:
            self._stream.meter.add(skipped=1)
            return
        frame = encoder.finish(ready.frame, level)
        self._rate.spent(len(frame.data))
        self._publisher.publish(self._latent(ready, frame))
        self._sequence, self._level = (self._sequence + 1) % 2**32, level
        now = self.get_clock().now().to_msg()
        self._stream.meter.publish(len(frame.data), elapsed_ms(ready.header.stamp, now))
        if self._preview and ready.shown is not None:
            self._preview.offer(ready.header, ready.shown)

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
            "runtime": self._encoder.choice.name if self._encoder else "switched off",
            "precision": self._chosen.precision,
        }

    def _say_ready(self) -> None:
        assert self._encoder is not None
        codec, chosen, choice = self._codec, self._chosen, self._encoder.choice
        if choice.refused:
            self.get_logger().info(f"{choice}")
        source = self._input.source
        kind = "raw" if source.kind is Image else "compressed"
        how = f"{choice.name} in {chosen.precision}, {kind} images from {source.topic}"
        self.get_logger().info(f"ready: codec {codec.id_hex} from {codec.path}, {how}")


def main(args: list[str] | None = None) -> int:
    """Run the edge node until a signal; return the exit status."""
    return run_node(EdgeNode, args)
