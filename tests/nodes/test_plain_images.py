# SPDX-License-Identifier: Apache-2.0
"""The server node for clients without an encoder: plain images in, answers of the unmodified backbone out."""

from __future__ import annotations

import math
from itertools import pairwise

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from node_process import NodeProcess
from observer import Health, Observer
from pictures import mask_of
from sensor_msgs.msg import CompressedImage, Image
from street_frames import header, street_frame

from frankensplit.bundle import Bundle
from frankensplit.edge.image import decode_compressed
from frankensplit.inference.overlay import draw_overlay
from frankensplit.inference.predictor import Predictor
from fs_common.images import byte_array, image_message
from fs_msgs.msg import FrameReport
from fs_server_node.launch_table import SERVER
from fs_server_node.messages import at_least

JPEG = "rgb8; jpeg compressed bgr8"


@pytest.fixture(scope="module")
def server(start_for_module) -> NodeProcess:
    """Run a server that knows no robot with an encoder."""
    topics = {"latent_topics": "[]", "image_topics": "[raw/image, web/image/compressed]"}
    return start_for_module(
        SERVER, threads="2", image_depth="20", stale_after_s="60.0", **topics
    ).wait_ready()


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    """Predict in this process."""
    return Predictor(Bundle.open("street"), threads=2)


def test_images_are_answered_like_latents(
    server: NodeProcess, observer: Observer, predictor: Predictor
) -> None:
    rgb = street_frame(0).rgb
    masks = observer.record(Image, "/raw/segmentation/mask")
    overlays = observer.record(Image, "/raw/overlay")
    reports = observer.record(FrameReport, "/raw/report")
    camera = observer.publisher(Image, "/raw/image")
    image = image_message(header(3), rgb[..., ::-1], "bgr8")
    observer.until(
        lambda: masks and overlays and reports, "answers", lambda: camera.publish(image), period_s=0.5
    )

    expected = predictor.predict_image(rgb).results
    assert np.mean(mask_of(masks[0]) == expected["segmentation"].mask) > 0.999
    assert masks[0].header == overlays[0].header == reports[0].header == header(3)

    drawn = np.frombuffer(overlays[0].data, np.uint8).reshape(rgb.shape)
    sure = {name: at_least(one, predictor.heads[name].threshold) for name, one in expected.items()}
    on_image = draw_overlay(rgb, sure, predictor.bundle.labels)
    assert np.mean(np.abs(drawn.astype(int) - on_image) <= 2) > 0.99

    report = reports[0]
    assert report.packet_bytes == rgb.nbytes
    assert (report.edge_preprocess_ms, report.edge_encode_ms, report.edge_entropy_ms) == (0.0, 0.0, 0.0)
    assert math.isnan(report.transit_ms)
    assert report.entropy_ms > 0 and report.features_ms > 0
    assert (report.lost, report.rejected) == (0, 0)
    assert report.sequence < report.received


def test_compressed_images_too(server: NodeProcess, observer: Observer, predictor: Predictor) -> None:
    file = cv2.imencode(".jpg", street_frame(0).rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 60])[1].tobytes()
    masks = observer.record(Image, "/web/segmentation/mask")
    reports = observer.record(FrameReport, "/web/report")
    camera = observer.publisher(CompressedImage, "/web/image/compressed")
    image = CompressedImage(header=header(4), format=JPEG, data=byte_array(file))
    observer.until(lambda: masks and reports, "answers", lambda: camera.publish(image), period_s=0.5)
    expected = predictor.predict_image(decode_compressed(file, JPEG)).results["segmentation"].mask
    assert np.mean(mask_of(masks[0]) == expected) > 0.999
    assert masks[0].header == header(4)
    assert reports[0].packet_bytes == len(file)


def test_bad_images_are_counted_and_do_no_harm(server: NodeProcess, observer: Observer) -> None:
    health = Health(observer, "server: raw/image")
    masks = observer.record(Image, "/raw/segmentation/mask")
    camera = observer.publisher(Image, "/raw/image")
    good = image_message(header(5), street_frame(0).rgb, "rgb8")
    bad = image_message(header(6), street_frame(0).rgb, "rgb8")
    bad.encoding = "32FC1"
    health.settled()
    rejected = health.count("rejected")
    observer.until(
        lambda: health.count("rejected") >= rejected + 3, "three rejections", lambda: camera.publish(bad)
    )
    assert (health.level, health.count("failed")) == (DiagnosticStatus.WARN, 0)
    assert "32FC1" in health.status.message
    assert not any(mask.header == header(6) for mask in masks)
    observer.until(
        lambda: any(mask.header == header(5) for mask in masks), "a mask", lambda: camera.publish(good)
    )


def test_newest_image_wins_and_the_numbers_tell(server: NodeProcess, observer: Observer) -> None:
    health = Health(observer, "server: raw/image")
    reports = observer.record(FrameReport, "/raw/report")
    camera = observer.publisher(Image, "/raw/image")
    image = image_message(header(7), street_frame(0).rgb, "rgb8")
    observer.until(
        lambda: any(after.sequence > before.sequence + 1 for before, after in pairwise(reports)),
        "a gap in the numbers",
        lambda: camera.publish(image),
        period_s=0.01,
    )
    assert all(after.sequence > before.sequence for before, after in pairwise(reports))
    assert reports[-1].dropped > 0
    health.settled()
    assert health.count("lost") == 0
