# SPDX-License-Identifier: Apache-2.0
"""The server node over real DDS: packets in from this process, predictions out of another."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from node_process import NodeProcess
from numpy.typing import NDArray
from observer import SENSOR, Health, Observer, Recording
from pictures import mask_of
from rclpy.publisher import Publisher
from sensor_msgs.msg import Image
from street_frames import header, latent, packet
from vision_msgs.msg import Classification, Detection2DArray, LabelInfo

from frankensplit.bundle import Bundle
from frankensplit.codec.packet import Packet
from frankensplit.inference.predictor import Prediction, Predictor
from fs_common.qos import keep_last, latched
from fs_msgs.msg import CompressedLatent, FrameReport
from fs_server_node.launch_table import SERVER

SEQUENCE = count()  # of the robot `one`, over all tests of this module


@pytest.fixture(scope="module")
def server(start_for_module) -> NodeProcess:
    """Run one server for two robots for the tests of this module that leave it as it was."""
    values = {"latent_topics": "[one/latent, two/latent]", "latent_depth": "20", "stale_after_s": "60.0"}
    return start_for_module(SERVER, threads="2", **values).wait_ready()


@pytest.fixture(scope="module")
def predicted() -> Prediction:
    """Predict look 0 in this process."""
    return Predictor(Bundle.open("street"), threads=2).predict(packet(0))


def send(robot: Publisher, number: int = 0, data: bytes | None = None) -> Callable[[], None]:
    """Give a function that publishes a look as the robot's next frame."""
    return lambda: robot.publish(latent(number, next(SEQUENCE), data))


def corners_of(message: Detection2DArray) -> NDArray[np.float64]:
    """Read boxes as x0, y0, x1, y1."""
    found = [one.bbox for one in message.detections]
    centres = np.array([(box.center.position.x, box.center.position.y) for box in found]).reshape(-1, 2)
    halves = np.array([(box.size_x / 2, box.size_y / 2) for box in found]).reshape(-1, 2)
    return np.hstack([centres - halves, centres + halves])


def names_of(info: LabelInfo) -> list[str]:
    """Read the class names in the order of their ids."""
    return [entry.class_name for entry in sorted(info.class_map, key=lambda entry: entry.class_id)]


def test_messages_hold_what_the_predictor_gives(
    server: NodeProcess, observer: Observer, predicted: Prediction
) -> None:
    labels = Bundle.open("street").labels
    masks = observer.record(Image, "/one/segmentation/mask")
    boxes = observer.record(Detection2DArray, "/one/detections")
    classes = observer.record(Classification, "/one/presence")
    robot = observer.publisher(CompressedLatent, "/one/latent")
    observer.until(lambda: masks and boxes and classes, "all three heads", send(robot), period_s=0.5)

    assert masks[0].header == boxes[0].header == classes[0].header == header(0)
    assert masks[0].encoding == "mono8"
    assert np.mean(mask_of(masks[0]) == predicted.results["segmentation"].mask) > 0.999

    presence = predicted.results["presence"].scores
    assert [one.class_id for one in classes[0].results] == labels["presence"]["classes"]
    np.testing.assert_allclose([one.score for one in classes[0].results], presence, atol=1e-3)

    found = predicted.results["detections"]
    kept = found.scores >= 0.3
    np.testing.assert_allclose(corners_of(boxes[0]), found.boxes[kept], atol=0.1)
    names = [labels["detections"]["classes"][index] for index in found.class_ids[kept]]
    assert [one.results[0].hypothesis.class_id for one in boxes[0].detections] == names
    assert all(one.header == header(0) for one in boxes[0].detections)


def test_label_info_waits_for_those_who_come_late(server: NodeProcess, observer: Observer) -> None:
    labels = Bundle.open("street").labels
    for head in ("segmentation", "presence", "detections"):
        infos = observer.record(LabelInfo, f"/two/{head}/label_info", latched())
        observer.until(lambda got=infos: got, f"label_info of {head}")
        assert names_of(infos[0]) == labels[head]["classes"]
    assert infos[0].threshold == pytest.approx(0.3)


def test_only_what_is_listened_to_is_computed(server: NodeProcess, observer: Observer) -> None:
    reports = observer.record(FrameReport, "/one/report")
    observer.record(Classification, "/one/presence")
    robot = observer.publisher(CompressedLatent, "/one/latent")
    observer.until(
        lambda: reports and list(reports[-1].heads) == ["presence"], "a frame of presence alone", send(robot)
    )


def test_nothing_is_computed_when_nobody_listens(server: NodeProcess, observer: Observer) -> None:
    health = Health(observer, "server: one/latent")
    robot = observer.node.create_publisher(CompressedLatent, "/one/latent", SENSOR)
    observer.until(lambda: robot.get_subscription_count() == 0, "the server to leave: the robot is idle too")
    health.settled()
    received, published = health.count("received"), health.count("published")
    health.settled(send(robot))
    assert (health.count("received"), health.count("published")) == (received, published)
    assert (health.level, health.status.message) == (DiagnosticStatus.OK, "idle: nobody subscribes")
    reports = observer.record(FrameReport, "/one/report")
    observer.until(lambda: reports, "a report for one who comes later", send(robot))


def test_report_accounts_for_the_frame_and_the_link(server: NodeProcess, observer: Observer) -> None:
    reports = observer.record(FrameReport, "/one/report")
    robot = observer.publisher(CompressedLatent, "/one/latent")
    observer.until(lambda: reports, "a report", send(robot))
    lost = reports[-1].lost
    for _ in range(7):
        next(SEQUENCE)
    observer.until(lambda: reports[-1].lost > lost, "the gap", send(robot))
    report = reports[-1]
    assert report.lost == lost + 7
    assert report.header == header(0)
    assert report.packet_bytes == len(packet(0))
    edge = (report.edge_preprocess_ms, report.edge_encode_ms, report.edge_entropy_ms)
    assert edge == (1.0, 2.0, 4.0)
    assert report.entropy_ms > 0 and report.features_ms > 0
    assert math.isnan(report.transit_ms)  # `received` is unset here, so no transit time can be known
    assert math.isnan(report.latency_ms)  # by its stamp the frame is decades old


def test_a_sequence_that_goes_back_is_a_new_stream(server: NodeProcess, observer: Observer) -> None:
    reports = observer.record(FrameReport, "/two/report")
    robot = observer.publisher(CompressedLatent, "/two/latent")
    observer.until(lambda: reports, "a report", lambda: robot.publish(latent(0, 1000)))
    lost = reports[-1].lost
    observer.until(lambda: reports[-1].sequence == 3, "the new stream", lambda: robot.publish(latent(0, 3)))
    assert reports[-1].lost == lost


@pytest.mark.parametrize(
    ("forge", "cause"),
    [
        (lambda: replace(Packet.from_bytes(packet(0)), codec_id=b"elsewher").to_bytes(), "same bundle"),
        (lambda: packet(0)[:-1] + bytes([packet(0)[-1] ^ 1]), "checksum"),
        (lambda: packet(0)[: len(packet(0)) // 2], "bytes"),
        (lambda: b"", "bytes"),
    ],
    ids=["foreign codec", "flipped bit", "cut off", "empty"],
)
def test_bad_packets_are_refused_and_do_no_harm(
    server: NodeProcess, observer: Observer, forge: Callable[[], bytes], cause: str
) -> None:
    health = Health(observer, "server: one/latent")
    masks = observer.record(Image, "/one/segmentation/mask")
    robot = observer.publisher(CompressedLatent, "/one/latent")
    health.worked_off()
    masks.clear()  # messages of the test before
    before = health.count("rejected")
    bad = send(robot, data=forge())
    observer.until(lambda: health.count("rejected") >= before + 3, "three rejections", bad)
    assert (health.level, health.count("failed")) == (DiagnosticStatus.WARN, 0)
    assert cause in health.status.message
    assert not masks
    assert "rejected: " in server.log
    observer.until(lambda: masks, "a mask after bad packets", send(robot))


def test_two_robots_on_one_topic_are_named_and_are_no_loss(server: NodeProcess, observer: Observer) -> None:
    reports = observer.record(FrameReport, "/two/report", keep_last("reliable", 100))
    health = Health(observer, "server: two/latent")
    robots = [observer.publisher(CompressedLatent, "/two/latent") for _ in range(2)]
    numbers = [count(20), count(60)]

    def both() -> None:
        for robot, number in zip(robots, numbers, strict=True):
            robot.publish(latent(0, next(number)))

    observer.until(lambda: len(reports) > 4, "reports", both)
    observer.until(lambda: health.level == DiagnosticStatus.WARN, "the warning", both)
    assert "2 publishers on /two/latent (/observer, /observer)" in health.status.message
    assert "give each robot a namespace" in health.status.message
    assert health.status.message in server.log
    lost, jumps = reports[-1].lost, health.count("jumps")
    observer.until(lambda: health.count("jumps") > jumps + 10, "jumps", both)
    assert reports[-1].lost == lost
    for robot in robots:
        observer.node.destroy_publisher(robot)


def test_switched_off_it_holds_neither_inputs_nor_networks(server: NodeProcess, observer: Observer) -> None:
    health = Health(observer, "server: one/latent")
    reports = observer.record(FrameReport, "/one/report")
    robot = observer.publisher(CompressedLatent, "/one/latent")
    observer.until(lambda: reports, "a report", send(robot))
    assert observer.enable("/server", False) == (True, "off")
    observer.until(lambda: robot.get_subscription_count() == 0, "the server to leave")
    health.settled()
    assert (health.level, health.status.message) == (DiagnosticStatus.OK, "switched off by ~/enable")
    assert observer.enable("/server", True) == (True, "on")
    reports.clear()
    observer.until(lambda: reports, "a report after it was switched on again", send(robot))


def test_an_unknown_wire_format_is_refused(server: NodeProcess, observer: Observer) -> None:
    health = Health(observer, "server: one/latent")
    observer.record(Image, "/one/segmentation/mask")
    robot = observer.publisher(CompressedLatent, "/one/latent")
    message = latent(0, next(SEQUENCE))
    message.format = "frankensplit/99"
    health.settled()
    before = health.count("rejected")
    observer.until(lambda: health.count("rejected") > before, "a rejection", lambda: robot.publish(message))
    assert "frankensplit/99" in health.status.message


def test_parameters_change_at_run_time_within_their_rules(server: NodeProcess, observer: Observer) -> None:
    done, reason = observer.set_parameter("/server", "heads", ["segmentation", "clairvoyance"])
    assert not done and "clairvoyance" in reason and "presence" in reason
    done, reason = observer.set_parameter("/server", "score_threshold", 1.5)
    assert not done and "range" in reason
    done, reason = observer.set_parameter("/server", "device", "cuda")
    assert not done and "read-only" in reason

    boxes = observer.record(Detection2DArray, "/one/detections")
    infos = observer.record(LabelInfo, "/one/detections/label_info", latched())
    robot = observer.publisher(CompressedLatent, "/one/latent")
    assert observer.set_parameter("/server", "score_threshold", 1.0) == (True, "")
    observer.until(lambda: boxes and not boxes[-1].detections, "no box to be sure enough", send(robot))
    observer.until(lambda: infos and infos[-1].threshold == 1.0, "the new threshold to be latched")
    assert observer.set_parameter("/server", "score_threshold", 0.0) == (True, "")
    assert observer.set_parameter("/server", "heads", ["segmentation"]) == (True, "")
    reports = observer.record(FrameReport, "/one/report")
    observer.until(lambda: reports and not reports[-1].heads, "detections to be off", send(robot))
    assert observer.set_parameter("/server", "heads", ["all"]) == (True, "")


def test_overlay_is_drawn_in_the_size_of_the_image(server: NodeProcess, observer: Observer) -> None:
    overlays = observer.record(Image, "/two/overlay")
    robot = observer.publisher(CompressedLatent, "/two/latent")
    numbers = count(5000)
    observer.until(
        lambda: overlays, "an overlay", lambda: robot.publish(latent(0, next(numbers))), period_s=0.5
    )
    overlay = overlays[0]
    assert overlay.header == header(0)
    assert (overlay.height, overlay.width, overlay.encoding) == (360, 480, "rgb8")
    assert np.frombuffer(overlay.data, np.uint8).max() > 0


def test_sigterm_ends_it_cleanly_in_mid_stream(start, observer: Observer) -> None:
    server = start(SERVER, latent_topics="[end/latent]", threads="2").wait_ready()
    masks: Recording = observer.record(Image, "/end/segmentation/mask")
    robot = observer.publisher(CompressedLatent, "/end/latent")
    observer.until(lambda: masks, "a mask", send(robot))
    robot.publish(latent(0, next(SEQUENCE)))
    assert server.stop(signal.SIGTERM) == 0, server.log
    assert "Traceback" not in server.log


def test_it_says_why_it_cannot_start(start) -> None:
    cases: list[tuple[dict[str, Any], tuple[str, ...]]] = [
        ({"bundle": "nowhere"}, ("nowhere", "give a folder")),
        ({"latent_topics": "[a/latent, a/other]"}, ("latent_topics", "namespace of its own")),
        ({"latent_topics": "[a/latent]", "image_topics": "[a/image]"}, ("a/image", "namespace of its own")),
        (
            {"latent_topics": "[my robot/latent]"},
            ("latent_topics names 'my robot/latent'", "letters, digits and _"),
        ),
        ({"image_topics": "[1st/image]"}, ("image_topics names '1st/image'", "letters, digits and _")),
        ({"overlay_image": "front//image"}, ("overlay_image names 'front//image'", "letters, digits and _")),
        ({"more_bundles": "[street]"}, ("more_bundles", "two bundles have the name street")),
    ]
    started = [(start(SERVER, **values), words) for values, words in cases]
    for server, words in started:
        assert server.wait() == 2
        assert "Traceback" not in server.log
        assert all(word in server.log for word in words), server.log
