# SPDX-License-Identifier: Apache-2.0
"""A robot's camera and sender: raw images, a rival codec's packets, or raw images for the edge node beside it.

Each round is a fresh stream. It begins with its first frame again and again, until the far end is seen to predict
and the round is started; then the frames come at their times. A frame whose time has passed while an earlier one was
being coded or sent is left out, as a camera's driver does.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from frankensplit.bundle import Codec
from frankensplit.evaluation import OURS, RAW
from frankensplit.evaluation.rivals import Options, load_rival
from fs_bench.parameters import SenderParameters
from fs_bench.records import may_warm_up, round_start_ns, write_sent
from fs_bench.streams import depth_of
from fs_common.declare import declare
from fs_common.ending import end_now
from fs_common.images import byte_array, image_message
from fs_common.qos import keep_last
from fs_common.running import end_node, run_node
from fs_common.times import stamp_ns
from fs_msgs.msg import CompressedLatent

SECOND_NS = 1_000_000_000
LINGER_S = 1.0  # time for the edge node's last packet
SETTLE_S = 1.0  # the other side may see the match a moment later
RESTART_S = 5.0  # a warm-up restarts if its first packet is lost: the stream needs it
POLL_S = 0.05


class Outlet(ABC):
    """Sends frames by a publisher and knows the payload of each by its stamp."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self.payload_bytes: dict[int, int] = {}

    def matched(self) -> bool:
        """Tell whether somebody listens."""
        return self._publisher.get_subscription_count() > 0

    def restart(self) -> None:
        """Begin a stream."""
        self.payload_bytes.clear()

    @abstractmethod
    def send(self, header: Header, rgb: NDArray[np.uint8]) -> None:
        """Send one frame, uint8 ``(H, W, 3)``."""


class RawOutlet(Outlet):
    """Raw images to the far end."""

    def __init__(self, node: Node) -> None:
        super().__init__(node.create_publisher(Image, "image", keep_last("best_effort", 1)))

    def send(self, header: Header, rgb: NDArray[np.uint8]) -> None:
        """Publish the image."""
        self._publisher.publish(image_message(header, rgb, "rgb8"))
        self.payload_bytes[stamp_ns(header.stamp)] = rgb.nbytes


class EdgeOutlet(RawOutlet):
    """Raw images to the edge node at this end; the payload is that of its packets."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        node.create_subscription(CompressedLatent, "latent", self._on_latent, keep_last("best_effort", 30))

    def send(self, header: Header, rgb: NDArray[np.uint8]) -> None:
        """Publish the image."""
        self._publisher.publish(image_message(header, rgb, "rgb8"))

    def _on_latent(self, latent: CompressedLatent) -> None:
        self.payload_bytes[stamp_ns(latent.header.stamp)] = len(latent.data)


class CoderOutlet(Outlet):
    """Packets of a rival codec, which codes the frame at the size that the network sees."""

    def __init__(self, node: Node, chosen: SenderParameters) -> None:
        self._codec, self._rival = Codec.open(chosen.bundle), load_rival(chosen.codec)
        qos = keep_last("best_effort", depth_of(self._rival))
        super().__init__(node.create_publisher(CompressedImage, "stream", qos))
        self._quality, self._options = chosen.quality, Options(rate_hz=chosen.recorded_hz)
        self._format = chosen.codec.partition("-")[0]

    def restart(self) -> None:
        """Begin a stream."""
        super().restart()
        self._coder = self._rival.open_coder(self._quality, self._options)

    def send(self, header: Header, rgb: NDArray[np.uint8]) -> None:
        """Scale, code and publish."""
        geometry = self._codec.geometry(*rgb.shape[:2])
        scaled = geometry.prepare(rgb)[: geometry.scaled_height, : geometry.scaled_width]
        data = self._coder.encode(np.ascontiguousarray(scaled))
        self._publisher.publish(CompressedImage(header=header, format=self._format, data=byte_array(data)))
        self.payload_bytes[stamp_ns(header.stamp)] = len(data)


class SenderNode(Node):
    """Plays all rounds in a thread, then shuts down."""

    def __init__(self) -> None:
        super().__init__("sender")
        self._chosen = declare(self, SenderParameters)
        self._frames = np.load(self._chosen.frames, mmap_mode="r")
        self._folder = Path(self._chosen.folder)
        self._period_ns = round(SECOND_NS / self._chosen.rate_hz)
        self._outlet = _open_outlet(self, self._chosen)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)
        self._thread.start()
        self.get_logger().info(f"ready: {self._chosen.codec}, {len(self._frames)} frames")

    def destroy_node(self) -> None:
        """End the thread, then the node."""
        self._closing.set()
        self._thread.join(5.0)
        super().destroy_node()

    def _run(self) -> None:
        try:
            for number in range(self._chosen.rounds):
                start_ns = self._warm_up(number)
                if self._closing.is_set():
                    return
                write_sent(self._folder, number, self._play(number, start_ns))
        except Exception:  # a signal invalidates the context under our hands
            if self.context.ok():
                raise
        finally:
            end_node(self)

    def _warm_up(self, number: int) -> int:
        """Send the first frame until the round's start is known; return it."""
        while not (may_warm_up(self._folder, number) and self._outlet.matched()):
            if self._closing.wait(POLL_S):
                return 0
        self._closing.wait(SETTLE_S)
        restart_s = 0.0
        while not self._closing.is_set():
            start_ns = round_start_ns(self._folder, number)
            if start_ns is not None:
                return start_ns
            if time.monotonic() >= restart_s:
                self._outlet.restart()
                restart_s = time.monotonic() + RESTART_S
            self._send(number, time.time_ns(), 0)
            self._closing.wait(self._period_ns / SECOND_NS)
        return 0

    def _play(self, number: int, start_ns: int) -> dict[int, int]:
        """Send the frames at their times, the first one also at those before the start; return what was sent."""
        before = (start_ns - time.time_ns()) // self._period_ns
        dues = {index: start_ns + index * self._period_ns for index in range(-before, self._chosen.count)}
        for index, due_ns in dues.items():
            if self._closing.wait(max(0.0, (due_ns - time.time_ns()) / SECOND_NS)):
                break
            if time.time_ns() < due_ns + self._period_ns:
                self._send(number, due_ns, max(index, 0))
        self._closing.wait(LINGER_S)
        sizes = self._outlet.payload_bytes
        return {index: sizes[due_ns] for index, due_ns in dues.items() if index >= 0 and due_ns in sizes}

    def _send(self, number: int, taken_ns: int, index: int) -> None:
        stamp = Time(sec=taken_ns // SECOND_NS, nanosec=taken_ns % SECOND_NS)
        rgb = self._frames[index % len(self._frames)]
        self._outlet.send(Header(stamp=stamp, frame_id=f"round{number}"), np.ascontiguousarray(rgb))


def _open_outlet(node: Node, chosen: SenderParameters) -> Outlet:
    if chosen.codec == RAW:
        return RawOutlet(node)
    return EdgeOutlet(node) if chosen.codec == OURS else CoderOutlet(node, chosen)


def main(args: list[str] | None = None) -> int:
    """Run the sender to its end or a signal; return the exit status."""
    return run_node(SenderNode, args)


if __name__ == "__main__":
    end_now(main())
