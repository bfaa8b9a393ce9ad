# SPDX-License-Identifier: Apache-2.0
"""What keeps frames away is said where people look: in the log, once, and in diagnostics all the time."""

from __future__ import annotations

import random
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from node_process import NodeProcess
from observer import SENSOR, Health, Observer
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from frankensplit.fast_dds import PROFILE_VARIABLES, export_line, other_users
from fs_common.cadence import Cadence
from fs_common.complaints import Standing
from fs_common.images import image_message
from fs_common.publishers import Source
from fs_common.qos import keep_last
from fs_edge_node.launch_table import EDGE
from fs_msgs.msg import CompressedLatent, FrameReport
from fs_server_node.launch_table import SERVER

RGB = np.zeros((96, 128, 3), np.uint8)
RELIABLE = keep_last("reliable", 1)


def image(number: int = 1) -> Image:
    """Make an image of a camera at 30 Hz."""
    seconds, part = divmod(number, 30)
    return image_message(Header(stamp=Time(sec=1000 + seconds, nanosec=part * 33_333_333)), RGB, "rgb8")


@pytest.fixture
def quiet(start, tiny_codec: Path) -> NodeProcess:
    """Run an edge node that looks for silence all the time."""
    return start(
        EDGE, bundle=str(tiny_codec), namespace="quiet", stale_after_s="0.5", image_reliability="reliable"
    ).wait_ready()


def test_what_keeps_images_away_is_logged_once_and_so_is_its_end(
    quiet: NodeProcess, observer: Observer
) -> None:
    health = Health(observer, "quiet/edge: image")
    node, log = observer.node, lambda: quiet.log
    assert "raw images from /quiet/image" in log()
    elsewhere = node.create_publisher(Image, "/quiet/front/image_raw", SENSOR)
    observer.until(
        lambda: "image: nobody publishes /quiet/image" in log(), "silence of an idle node in the log"
    )
    observer.until(lambda: "images are on /quiet/front/image_raw" in log(), "where images are")
    node.destroy_publisher(elsewhere)

    other = node.create_publisher(CompressedImage, "/quiet/image", SENSOR)
    words = "/quiet/image is published as sensor_msgs/msg/CompressedImage by /observer, expected sensor_msgs/msg/Image"
    observer.until(lambda: f"{words}: transport:=compressed" in log(), "the type")
    node.destroy_publisher(other)

    unreliable = node.create_publisher(Image, "/quiet/image", SENSOR)
    words = "QoS of /quiet/image clashes: /observer offers best effort and this node asks for reliable"
    observer.until(lambda: words in log(), "the QoS")
    node.destroy_publisher(unreliable)

    observer.record(CompressedLatent, "/quiet/latent", SENSOR)
    camera = observer.publisher(Image, "/quiet/image", RELIABLE)
    observer.until(lambda: "nothing has arrived for" in log(), "silence of a subscribed node in the log")
    assert "on /quiet/image, 1 publisher (/observer)" in log()
    observer.until(lambda: "image: no longer silent" in log(), "its end", lambda: camera.publish(image()))
    health.settled(lambda: camera.publish(image()))
    assert log().count("nothing has arrived for") == log().count(words) == 1


def test_a_server_says_which_robot_is_silent(start, observer: Observer) -> None:
    server = start(SERVER, latent_topics="[r1/latent]", stale_after_s="0.5").wait_ready()
    assert "r1/latent (results below /r1/)" in server.log
    observer.until(lambda: "r1/latent: nobody publishes /r1/latent" in server.log, "silence in the log")


def test_a_topic_of_compressed_images_is_understood(start, observer: Observer, tiny_codec: Path) -> None:
    import cv2

    start(EDGE, bundle=str(tiny_codec), namespace="files", image_topic="cam/compressed").wait_ready()
    latents = observer.record(CompressedLatent, "/files/latent", SENSOR)
    camera = observer.publisher(CompressedImage, "/files/cam/compressed")
    picture = CompressedImage(format="jpeg", data=cv2.imencode(".jpg", RGB)[1].tobytes())
    observer.until(lambda: latents, "a latent", lambda: camera.publish(picture))


@pytest.mark.parametrize(
    ("topic", "names"),
    [
        ("cam/image", ("cam/image", "cam/image/compressed")),
        ("c/compressed", ("c/compressed", "c/compressed")),
    ],
)
def test_the_ending_of_compressed_topics_is_not_doubled(topic: str, names: tuple[str, str]) -> None:
    assert [target for _, target in EDGE.remappings({"image_topic": topic})] == list(names)


def test_images_that_come_far_below_the_cameras_rate_are_seen(
    start, observer: Observer, tiny_codec: Path
) -> None:
    edge = start(EDGE, bundle=str(tiny_codec), namespace="few").wait_ready()
    health = Health(observer, "few/edge: image")
    observer.record(CompressedLatent, "/few/latent", SENSOR)
    camera = observer.publisher(Image, "/few/image")
    numbers, rng = count(), random.Random(1)

    def shoot() -> None:
        number = next(numbers)
        if rng.random() < 0.35:  # as much as comes of best effort without a profile
            camera.publish(image(number))

    observer.until(lambda: "images come at" in health.status_text, "the warning", shoot, period_s=0.01)
    assert health.level == DiagnosticStatus.WARN
    words = ("the camera takes 30.0 Hz", "make driver and image_reliability reliable", export_line())
    observer.until(lambda: all(word in edge.log for word in words), "the warning in the log", shoot, 0.01)
    assert all(variable in export_line() for variable in PROFILE_VARIABLES)


@pytest.mark.parametrize("qos", [RELIABLE, SENSOR], ids=["reliable", "best effort"])
def test_the_edge_is_reliable_where_the_camera_is(start, observer: Observer, tiny_codec: Path, qos) -> None:
    start(EDGE, bundle=str(tiny_codec), namespace="auto", lazy="false").wait_ready()
    camera = observer.publisher(Image, "/auto/image", qos)

    def asked() -> list[ReliabilityPolicy]:
        return [
            one.qos_profile.reliability
            for one in observer.node.get_subscriptions_info_by_topic("/auto/image")
        ]

    observer.until(lambda: asked() == [qos.reliability], "the subscription to follow")
    latents = observer.record(CompressedLatent, "/auto/latent", SENSOR)
    observer.until(lambda: latents, "a latent", lambda: camera.publish(image()))


@pytest.mark.parametrize(
    ("steps", "few"),
    [
        ([33] * 60, False),
        ([33, 34, 32, 40, 26] * 12, False),
        ([66] * 60, False),
        ([33] * 30 + [66] * 30, False),
        ([33] * 59 + [60_000], False),
        ([33, 66, 132, 33, 99, 165] * 10, True),
        ([33] * 40 + [66] * 20, False),
        ([66] * 25 + [33] * 35, False),
        ([33, 66, 132] * 10, False),
        ([0] * 60, False),
        ([-1000, 33, 33, 33] * 15, False),
    ],
    ids=[
        "steady",
        "jitter",
        "slow",
        "slower",
        "slower before",
        "faster",
        "a pause",
        "lossy",
        "too few",
        "no stamps",
        "a loop",
    ],
)
def test_the_share_of_images_by_their_stamps(steps: list[int], few: bool) -> None:
    cadence, stamp_ns = Cadence(), 10**15
    for step in steps:
        stamp_ns += step * 10**6
        cadence.add(stamp_ns)
    share = cadence.few()
    assert (share is not None) is few
    if share:
        assert share.taken_hz == pytest.approx(30, rel=0.02)
        assert share.arriving_hz == pytest.approx(30 * 6 / 16, rel=0.1)


def test_a_state_is_said_once_and_its_end_too() -> None:
    said: list[str] = []
    standing = Standing(said.append, lambda: said.append("over"), patience=2)
    for text in (
        "",
        "nothing for 1.0 s",
        "nothing for 2.5 s",
        "",
        "nothing for 9 s",
        "",
        "",
        "",
        "another",
        "other",
    ):
        standing.see(text)
    assert said == ["nothing for 1.0 s", "over", "another", "other"]


def test_the_log_says_that_users_share_no_memory(
    ros_context: Context, observer: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node("reader", context=ros_context)
    source = Source(node, "/apart/image", Image, "image", "auto", 1)
    camera = observer.node.create_publisher(Image, "/apart/image", SENSOR)
    observer.until(source.publishers, "the camera")
    monkeypatch.setattr("fs_common.publishers.other_users", lambda: ["driver"])
    assert "1 publisher (/observer); Fast DDS nodes of other users (driver) run here" in source.unheard()
    assert export_line("fastdds-udp.xml") in source.unheard()
    observer.node.destroy_publisher(camera)
    node.destroy_node()


def test_what_a_server_draws_is_not_taken_for_a_camera(ros_context: Context, observer: Observer) -> None:
    reader, server = (Node(name, context=ros_context) for name in ("reader", "drawing"))
    for kind, name in ((FrameReport, "report"), (Image, "overlay"), (Image, "segmentation/mask")):
        server.create_publisher(kind, f"/drawn/{name}", RELIABLE)
    reader.create_publisher(CompressedImage, "/drawn/preview", RELIABLE)
    camera = observer.node.create_publisher(Image, "/drawn/front", SENSOR)
    source = Source(
        reader, "/drawn/image", Image, "image", "auto", 1, {"sensor_msgs/msg/CompressedImage": "so"}
    )
    for name in ("front", "report", "overlay", "segmentation/mask", "preview"):
        observer.until(lambda name=name: reader.count_publishers(f"/drawn/{name}"), name)
    said = source.trouble()
    assert "nobody publishes /drawn/image; images are on " in said and said.count("/drawn/") == 2
    assert "/drawn/front" in said
    observer.node.destroy_publisher(camera)
    reader.destroy_node()
    server.destroy_node()


def test_users_that_share_no_memory_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fastrtps_0123").touch()
    assert other_users(tmp_path) == []
    monkeypatch.setattr("os.geteuid", lambda: (tmp_path / "fastrtps_0123").stat().st_uid + 1)
    assert len(other_users(tmp_path)) == 1
