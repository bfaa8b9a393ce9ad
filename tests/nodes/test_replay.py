# SPDX-License-Identifier: Apache-2.0
"""Recordings as players take them: what stands in the index, and latents alone, in a loop, on recorded time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from observer import Observer
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from street_frames import latent

from fs_demo.recorder import BAG_VERSION, bag_qos, type_store
from fs_msgs.msg import CompressedLatent, FrameReport
from fs_server_node.launch_table import SERVER

START_NS = 1_000_000_000_000
FRAMES = 3


def record(folder: Path) -> Path:
    """Write latents as the recorder does, the stamp of each 40 ms before it was recorded."""
    with Writer(folder, version=BAG_VERSION, storage_plugin=StoragePlugin.MCAP) as writer:
        qos = [bag_qos(reliable=False, latched=False)]
        kind = "fs_msgs/msg/CompressedLatent"
        connection = writer.add_connection(
            "/robot1/latent", kind, typestore=type_store(), offered_qos_profiles=qos
        )
        for number in range(FRAMES):
            message, at = latent(number, number), START_NS + number * 200_000_000
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(at - 40_000_000, 10**9)
            writer.write(connection, at, serialize_message(message))
    return folder


def read_index(folder: Path) -> dict[str, Any]:
    """Read what `ros2 bag` reads of an index, with the types that its reader in C++ insists on."""
    index = yaml.safe_load((folder / "metadata.yaml").read_text(encoding="utf-8"))[
        "rosbag2_bagfile_information"
    ]
    assert isinstance(index["version"], int) and index["storage_identifier"] == "mcap"
    assert index["duration"]["nanoseconds"] >= 0 <= index["starting_time"]["nanoseconds_since_epoch"]
    for text in ("compression_format", "compression_mode", "ros_distro"):
        assert isinstance(index[text], str)
    assert index["custom_data"] in (None, {})
    assert [one["path"] for one in index["files"]] == index["relative_file_paths"]
    for topic in index["topics_with_message_count"]:
        told = topic["topic_metadata"]
        assert isinstance(topic["message_count"], int) and told["serialization_format"] == "cdr"
        assert told["type_description_hash"].startswith("RIHS01_") and told["type"].count("/") == 2
        assert isinstance(told["offered_qos_profiles"], str)  # up to version 8, text that is YAML
    return index


def qos_of(text: str) -> QoSProfile:
    """Return what a player offers: the numbers are those of rmw."""
    (one,) = yaml.safe_load(text)
    for key in ("deadline", "lifespan", "liveliness_lease_duration"):
        assert one[key] == {"sec": 9223372036, "nsec": 854775807}  # RMW_DURATION_INFINITE
    assert one["liveliness"] == 1 and one["avoid_ros_namespace_conventions"] is False
    return QoSProfile(
        history=HistoryPolicy(one["history"]),
        depth=one["depth"],
        reliability=ReliabilityPolicy(one["reliability"]),
        durability=DurabilityPolicy(one["durability"]),
    )


def test_latents_alone_are_played_in_a_loop_on_recorded_time(
    start, observer: Observer, tmp_path: Path
) -> None:
    bag = record(tmp_path / "bag")
    (topic,) = read_index(bag)["topics_with_message_count"]
    qos = qos_of(topic["topic_metadata"]["offered_qos_profiles"])
    assert (qos.reliability, qos.durability) == (ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE)
    start(SERVER, namespace="robot1", threads="2", use_sim_time="true").wait_ready()
    masks = observer.record(Image, "/robot1/segmentation/mask")
    reports = observer.record(FrameReport, "/robot1/report")
    clock = observer.publisher(Clock, "/clock", 10)
    player = observer.publisher(CompressedLatent, "/robot1/latent", qos)
    with Reader(bag) as reader:
        recorded = [(at, bytes(data)) for _, at, data in reader.messages()]

    def tick(at: int) -> None:
        now = Clock()
        now.clock.sec, now.clock.nanosec = divmod(at, 10**9)
        clock.publish(now)

    for _ in range(2):
        for at, data in recorded:
            seen = len(reports)

            def play(at: int = at, data: bytes = data) -> None:
                tick(at)
                player.publish(data)

            observer.until(lambda seen=seen: len(reports) > seen, "a report", play, period_s=2.0)
    assert len(masks) >= 2 * FRAMES - 1
    stamps = [(one.header.stamp.sec, one.header.stamp.nanosec) for one in masks]
    assert len(set(stamps)) == FRAMES and stamps[0] in stamps[FRAMES:]
    assert reports[-1].lost == reports[-1].rejected == 0  # the loop's beginning is a jump, not a loss
    assert all(20 < one.latency_ms < 60_000 for one in reports)  # by the recorded clock, not by today's
