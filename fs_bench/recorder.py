# SPDX-License-Identifier: Apache-2.0
"""Keep the masks that a server node publishes."""

from __future__ import annotations

import time
from pathlib import Path

from rclpy.node import Node
from sensor_msgs.msg import Image

from fs_bench.parameters import RecorderParameters
from fs_bench.records import RecordWriter
from fs_common.declare import declare
from fs_common.ending import end_now
from fs_common.images import mask_of
from fs_common.qos import keep_last
from fs_common.running import run_node
from fs_common.times import stamp_ns
from fs_server_node.messages import topic_of

DEEP = 20  # the recorder wants every mask


class RecorderNode(Node):
    """One subscription."""

    def __init__(self) -> None:
        super().__init__("recorder")
        chosen = declare(self, RecorderParameters)
        self._records = RecordWriter(Path(chosen.folder))
        topic = topic_of(chosen.head, "mask")
        self.create_subscription(Image, topic, self._on_mask, keep_last("reliable", DEEP))
        self.get_logger().info(f"ready: {topic}")

    def _on_mask(self, message: Image) -> None:
        done_ns = time.time_ns()
        self._records.add(stamp_ns(message.header.stamp), done_ns, mask_of(message).mask)


def main(args: list[str] | None = None) -> int:
    """Record until a signal; return the exit status."""
    return run_node(RecorderNode, args)


if __name__ == "__main__":
    end_now(main())
