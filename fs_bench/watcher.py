# SPDX-License-Identifier: Apache-2.0
"""A camera at a fixed rate, and a listener of the edge node's packets that comes and goes as a file says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from fs_bench.parameters import WatcherParameters
from fs_bench.watching import EventWriter, may_listen
from fs_common.declare import declare
from fs_common.ending import end_now
from fs_common.images import image_message
from fs_common.qos import keep_last
from fs_common.running import run_node
from fs_msgs.msg import CompressedLatent


class WatcherNode(Node):
    """One timer; a frame's number is its ``frame_id``, which the edge node hands on."""

    def __init__(self) -> None:
        super().__init__("watcher")
        chosen = declare(self, WatcherParameters)
        self._frames = np.load(chosen.frames, mmap_mode="r")
        self._folder = Path(chosen.folder)
        self._events = EventWriter(self._folder)
        self._number = 0
        self._listening: Subscription | None = None
        self._images = self.create_publisher(Image, "image", keep_last("best_effort", 1))
        self.create_timer(1 / chosen.rate_hz, self._tick)
        self.get_logger().info(f"ready: {len(self._frames)} frames at {chosen.rate_hz:g} Hz")

    def _tick(self) -> None:
        self._come_or_go()
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=str(self._number))
        rgb = np.ascontiguousarray(self._frames[self._number % len(self._frames)])
        self._images.publish(image_message(header, rgb, "rgb8"))
        self._number += 1

    def _come_or_go(self) -> None:
        wanted = may_listen(self._folder)
        if wanted and self._listening is None:
            qos = keep_last("best_effort", 1)
            self._listening = self.create_subscription(CompressedLatent, "latent", self._on_latent, qos)
            self._events.add("listening", self._number)
        elif not wanted and self._listening is not None:
            self.destroy_subscription(self._listening)
            self._listening = None
            self._events.add("deaf", self._number)

    def _on_latent(self, latent: CompressedLatent) -> None:
        self._events.add("packet", int(latent.header.frame_id), len(latent.data))


def main(args: list[str] | None = None) -> int:
    """Watch until a signal; return the exit status."""
    return run_node(WatcherNode, args)


if __name__ == "__main__":
    end_now(main())
