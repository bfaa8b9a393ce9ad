# SPDX-License-Identifier: Apache-2.0
"""Record every topic of the graph into a rosbag2 (mcap), bytes as they come over the wire."""

from __future__ import annotations

import importlib
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, Literal

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer, WriterError
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from frankensplit.errors import DataError, RuntimeUnavailable
from fs_common.declare import declare
from fs_common.ending import end_now
from fs_common.running import RESULTS_S, run_node
from fs_demo.parameters import RecorderParameters

LOOK_S = 0.1
DEPTH = 100
OUR_PACKAGES = ("fs_msgs", "vision_msgs")  # a type store of ROS 2 does not include these
BAG_VERSION: Literal[8] = 8  # metadata that Humble and everything later reads
NEVER = QosTime(9223372036, 854775807)


class RecorderNode(Node):
    """Looks for topics all the time and records each from its first message on."""

    def __init__(self) -> None:
        super().__init__("recorder")
        chosen = declare(self, RecorderParameters)
        self._excluded = chosen.exclude
        self._types = type_store()
        self._writer = Writer(Path(chosen.folder), version=BAG_VERSION, storage_plugin=StoragePlugin.MCAP)
        try:
            self._writer.open()
        except WriterError as error:
            raise DataError(
                f"cannot record to {chosen.folder}: {error}; name a folder that does not exist"
            ) from error
        self._recorded: set[str] = set()
        self.create_timer(LOOK_S, self._look)
        self.get_logger().info(f"ready: recording to {chosen.folder}")

    def destroy_node(self) -> None:
        """Close the bag, then the node."""
        self._writer.close()
        super().destroy_node()

    def _look(self) -> None:
        for topic, kinds in self.get_topic_names_and_types():
            excluded = any(fnmatchcase(topic, pattern) for pattern in self._excluded)
            if topic not in self._recorded and not excluded and self.count_publishers(topic):
                self._recorded.add(topic)
                self._record(topic, kinds[0])

    def _record(self, topic: str, kind: str) -> None:
        if kind not in self._types.types:
            self.get_logger().warning(f"{topic} is not recorded: type {kind} is unknown here")
            return
        offered = self.get_publishers_info_by_topic(topic)[0].qos_profile
        reliable = offered.reliability == ReliabilityPolicy.RELIABLE
        latched = offered.durability == DurabilityPolicy.TRANSIENT_LOCAL
        qos = [bag_qos(reliable, latched)]
        connection = self._writer.add_connection(topic, kind, typestore=self._types, offered_qos_profiles=qos)
        wanted = QoSProfile(depth=DEPTH, reliability=offered.reliability, durability=offered.durability)
        self.create_subscription(
            message_class(kind), topic, partial(self._write, connection), wanted, raw=True
        )

    def _write(self, connection: Any, data: bytes) -> None:
        self._writer.write(connection, self.get_clock().now().nanoseconds, data)


def type_store() -> Typestore:
    """Return the common ROS 2 types and those of fs_msgs and vision_msgs, from their installed definitions."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    for package in OUR_PACKAGES:
        for path in sorted(_definitions(package).glob("*.msg")):
            store.register(get_types_from_msg(path.read_text(encoding="utf-8"), f"{package}/msg/{path.stem}"))
    return store


def _definitions(package: str) -> Path:
    """Find the folder of a package's .msg files from its Python module: without ROS sourced there is no index."""
    module = Path(str(importlib.import_module(package).__file__))
    found = (parent / "share" / package / "msg" for parent in module.parents)
    folder = next((one for one in found if one.is_dir()), None)
    if folder is None:
        raise RuntimeUnavailable(f"no share/{package}/msg above {module}: install {package} again")
    return folder


def message_class(kind: str) -> Any:
    """Return the Python class of a type such as ``std_msgs/msg/Header``."""
    package, _, name = kind.split("/")
    return getattr(importlib.import_module(f"{package}.msg"), name)


def bag_qos(reliable: bool, latched: bool) -> Qos:
    """Return what a player should offer."""
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=1 if latched else 10,
        reliability=QosReliability.RELIABLE if reliable else QosReliability.BEST_EFFORT,
        durability=QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        deadline=NEVER,
        lifespan=NEVER,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=NEVER,
        avoid_ros_namespace_conventions=False,
    )


def main(args: list[str] | None = None) -> int:
    """Record until a signal; return the exit status."""
    return run_node(RecorderNode, args, RESULTS_S)


if __name__ == "__main__":
    end_now(main())
