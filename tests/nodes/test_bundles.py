# SPDX-License-Identifier: Apache-2.0
"""One server node with several bundles: who answers a packet, below which name, and who stays idle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from node_process import NodeProcess
from observer import Health, Observer
from other_bundles import CLASSES, write_foreign, write_twin
from pictures import mask_of
from rclpy.publisher import Publisher
from sensor_msgs.msg import Image
from street_frames import header, latent, packet, street_frame
from vision_msgs.msg import Classification

from frankensplit.bundle import Bundle, Codec
from frankensplit.codec.packet import Packet
from fs_common.images import image_message
from fs_msgs.msg import CompressedLatent, FrameReport
from fs_server_node.launch_table import SERVER

SEQUENCE = count()  # of the one robot, over all tests of this module


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Write a bundle of the same codec, and one of another."""
    folder = tmp_path_factory.mktemp("bundles")
    return [write_twin(folder / "twin", "rolled-50"), write_foreign(folder / "foreign", "elsewhere")]


@pytest.fixture(scope="module")
def server(start_for_module, bundles: list[Path]) -> NodeProcess:
    """Run a server of three bundles for one robot and one client without an encoder."""
    values = {
        "latent_topics": "[one/latent]",
        "image_topics": "[cam/image]",
        "more_bundles": f"[{', '.join(map(str, bundles))}]",
    }
    return start_for_module(
        SERVER, threads="2", latent_depth="20", stale_after_s="60.0", **values
    ).wait_ready()


def send(robot: Publisher, data: bytes | None = None) -> Callable[[], None]:
    """Give a function that publishes look 0 as the robot's next frame."""
    return lambda: robot.publish(latent(0, next(SEQUENCE), data))


def agreement(ours: Image, theirs: Image) -> float:
    """Give the share of pixels at which the twin says the class that comes after ours."""
    return float(np.mean((mask_of(ours).astype(int) + 1) % CLASSES == mask_of(theirs)))


def same_frame(ours: list[FrameReport], theirs: list[FrameReport]) -> list[tuple[FrameReport, FrameReport]]:
    """Give the pairs of reports on one frame."""
    return [(one, other) for one in ours for other in theirs if one.sequence == other.sequence]


def test_one_packet_is_answered_by_every_bundle_of_its_codec(server: NodeProcess, observer: Observer) -> None:
    ours = observer.record(Image, "/one/segmentation/mask")
    theirs = observer.record(Image, "/one/rolled_50/segmentation/mask")
    costs, reports = (observer.record(FrameReport, f"/one/{place}report") for place in ("", "rolled_50/"))
    foreign = observer.record(Image, "/one/elsewhere/segmentation/mask")
    robot = observer.publisher(CompressedLatent, "/one/latent")
    observer.until(lambda: ours and theirs and same_frame(costs, reports), "both", send(robot), period_s=0.5)
    assert ours[0].header == theirs[0].header == reports[0].header == header(0)
    assert agreement(ours[0], theirs[0]) > 0.999
    assert reports[0].packet_bytes == len(packet(0))
    cost, report = same_frame(costs, reports)[0]
    assert cost.entropy_ms == report.entropy_ms > 0  # decoded once, not once a bundle
    assert cost.features_ms != report.features_ms
    assert not foreign


def test_each_codec_goes_to_its_own_bundle(
    server: NodeProcess, observer: Observer, bundles: list[Path]
) -> None:
    Health(observer, "server: one/latent").settled()  # nothing that another test sent is under way any more
    symbols, found = Bundle.open("street").codec.unpack(packet(0))
    data = Codec.open(bundles[1]).pack(symbols, found.source_height, found.source_width)
    ours = observer.record(Image, "/one/segmentation/mask")
    theirs = observer.record(Image, "/one/elsewhere/segmentation/mask")
    reports = observer.record(FrameReport, "/one/elsewhere/report")
    robot = observer.publisher(CompressedLatent, "/one/latent")
    observer.until(lambda: theirs and reports, "the other codec's mask", send(robot, data), period_s=0.5)
    assert theirs[0].header == header(0)
    assert reports[0].rejected == 0
    assert not ours


def test_only_bundles_that_are_listened_to_run(server: NodeProcess, observer: Observer) -> None:
    health = Health(observer, "server: one/latent")
    reports = observer.record(FrameReport, "/one/elsewhere/report")
    robot = observer.publisher(CompressedLatent, "/one/latent")
    observer.until(lambda: observer.node.count_publishers("/one/elsewhere/report"), "the report's topic")
    health.settled()
    reports.clear()  # reports on packets of earlier tests
    received, published = health.count("received"), health.count("published")
    observer.until(lambda: health.count("received") >= received + 10, "latents to arrive", send(robot))
    assert health.count("published") == published  # somebody listens, but to no bundle of the packets' codec
    assert not reports
    observer.until(lambda: health.level == DiagnosticStatus.WARN, "a warning", send(robot))
    assert health.status.message.startswith("somebody listens below /one/elsewhere/ (bundle elsewhere)")
    assert "are for /one/ (bundle street), /one/rolled_50/ (bundle rolled-50)" in health.status.message
    facts = {pair.key: pair.value for pair in health.status.values}
    assert facts["results"] == "/one/, /one/rolled_50/"
    assert "somebody listens below /one/elsewhere/" in server.log


def test_a_codec_that_no_bundle_has_is_named(
    server: NodeProcess, observer: Observer, bundles: list[Path]
) -> None:
    data = replace(Packet.from_bytes(packet(0)), codec_id=b"elsewher").to_bytes()
    health = Health(observer, "server: one/latent")
    observer.record(Image, "/one/rolled_50/segmentation/mask")
    robot = observer.publisher(CompressedLatent, "/one/latent")
    observer.until(lambda: health.count("rejected") > 0, "a rejection", send(robot, data))
    served = [Codec.open(one).id_hex for one in ("street", bundles[1])]
    assert all(name in health.status.message for name in (b"elsewher".hex(), *served))
    assert health.status.hardware_id == ", ".join(sorted(served))


def test_images_go_to_every_bundle(server: NodeProcess, observer: Observer) -> None:
    ours = observer.record(Image, "/cam/segmentation/mask")
    theirs = observer.record(Image, "/cam/rolled_50/segmentation/mask")
    camera = observer.publisher(Image, "/cam/image")
    image = image_message(header(2), street_frame(0).rgb, "rgb8")
    observer.until(lambda: ours and theirs, "both masks", lambda: camera.publish(image), period_s=0.5)
    assert ours[0].header == theirs[0].header == header(2)
    assert agreement(ours[0], theirs[0]) > 0.999


def test_a_head_may_be_chosen_that_only_one_bundle_has(server: NodeProcess, observer: Observer) -> None:
    done, reason = observer.set_parameter("/server", "heads", ["clairvoyance"])
    assert not done and "clairvoyance" in reason
    assert observer.set_parameter("/server", "heads", ["presence"]) == (True, "")
    observer.record(Classification, "/one/presence")
    reports = [observer.record(FrameReport, f"/one/{place}report") for place in ("", "rolled_50/")]
    robot = observer.publisher(CompressedLatent, "/one/latent")
    observer.until(lambda: all(reports) and reports[0][-1].heads, "reports", send(robot), period_s=0.5)
    assert list(reports[0][-1].heads) == ["presence"]
    assert not reports[1][-1].heads
    assert observer.set_parameter("/server", "heads", ["all"]) == (True, "")
