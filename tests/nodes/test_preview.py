# SPDX-License-Identifier: Apache-2.0
"""The edge's pictures for an operator, over real DDS: after the latents, of the size, rate and bytes asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from levelled_codec import write_levelled_codec
from node_process import NodeProcess
from observer import SENSOR, Health, Observer
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from frankensplit.edge.image import decode_compressed
from fs_common.images import image_message
from fs_common.qos import keep_last
from fs_common.times import stamp_ns
from fs_edge_node.launch_table import EDGE
from fs_edge_node.preview import shrunk
from fs_msgs.msg import CompressedLatent

TOPIC = "/shown/preview/compressed"
EVERY = keep_last("best_effort", 100)


@pytest.fixture(scope="module")
def edge(start_for_module, tmp_path_factory: pytest.TempPathFactory) -> NodeProcess:
    """Run an edge node with previews for the tests of this module."""
    codec = tmp_path_factory.mktemp("levels") / "codec"
    write_levelled_codec(codec, nominal_height=96, nominal_width=128)
    values = {"preview": "true", "preview_fps": "20.0", "preview_size": "64"}
    return start_for_module(
        EDGE, bundle=str(codec), namespace="shown", stale_after_s="60.0", **values
    ).wait_ready()


class Camera:
    """Shows one picture over and over, each frame with a stamp of its own."""

    def __init__(self, observer: Observer, smooth: bool = True) -> None:
        noise = np.random.default_rng(3).integers(
            0, 256, (6, 8, 3) if smooth else (96, 128, 3), dtype=np.uint8
        )
        self.rgb = noise.repeat(16, 0).repeat(16, 1) if smooth else noise
        self.shown = 0
        self._publisher = observer.node.create_publisher(Image, "/shown/image", SENSOR)

    @property
    def watched(self) -> bool:
        """Tell whether the edge listens."""
        return self._publisher.get_subscription_count() > 0

    def shoot(self) -> None:
        """Publish the next frame."""
        self.shown += 1
        header = Header(stamp=Time(sec=1000 + self.shown, nanosec=7), frame_id="front_optical")
        self._publisher.publish(image_message(header, self.rgb, "rgb8"))


def test_a_preview_is_the_picture_of_its_stamp_in_small(edge: NodeProcess, observer: Observer) -> None:
    camera = Camera(observer)
    previews = observer.record(CompressedImage, TOPIC)
    observer.record(CompressedLatent, "/shown/latent", SENSOR)
    observer.until(lambda: previews, "a preview", camera.shoot)
    preview = previews[0]
    assert preview.header.frame_id == "front_optical" and preview.header.stamp.nanosec == 7
    assert preview.format == "rgb8; jpeg compressed bgr8"
    shown = decode_compressed(preview.data, preview.format).astype(int)
    assert shown.shape == (48, 64, 3)
    assert np.abs(shown - shrunk(camera.rgb, 64)).mean() < 20  # half the colour is lost, no more
    assert observer.set_parameter("/shown/edge", "preview_quality", 95) == (True, "")
    observer.until(lambda: len(previews[-1].data) > 1.5 * len(preview.data), "a better one", camera.shoot)
    assert observer.set_parameter("/shown/edge", "preview_size", 4000) == (True, "")
    shape = lambda: decode_compressed(previews[-1].data).shape  # noqa: E731
    observer.until(
        lambda: shape() == camera.rgb.shape, "one in the size of the image, not larger", camera.shoot
    )
    assert observer.set_parameter("/shown/edge", "preview_size", 64) == (True, "")
    done, reason = observer.set_parameter("/shown/edge", "preview_quality", 101)
    assert not done and "range" in reason


def test_a_latent_is_sent_before_its_preview(edge: NodeProcess, observer: Observer) -> None:
    sent: dict[str, dict[int, int]] = {"latent": {}, "preview": {}}
    for name, kind, topic in (
        ("latent", CompressedLatent, "/shown/latent"),
        ("preview", CompressedImage, TOPIC),
    ):

        def note(message, info, times=sent[name]) -> None:
            times[stamp_ns(message.header.stamp)] = info["source_timestamp"]

        observer.node.create_subscription(kind, topic, note, EVERY)
    camera = Camera(observer)
    both = lambda: sent["latent"].keys() & sent["preview"].keys()  # noqa: E731
    observer.until(lambda: len(both()) > 5, "latents and previews of six frames", camera.shoot)
    assert all(sent["latent"][stamp] < sent["preview"][stamp] for stamp in both())


def test_an_operator_alone_gets_pictures_and_nothing_is_encoded(
    edge: NodeProcess, observer: Observer
) -> None:
    health = Health(observer, "shown/edge: image")
    camera = Camera(observer)
    health.settled()
    assert not camera.watched
    published = health.count("published")
    previews = observer.record(CompressedImage, TOPIC, SENSOR)
    observer.until(lambda: len(previews) > 3, "previews", camera.shoot)
    health.worked_off()
    assert health.count("published") == published
    observer.node.destroy_subscription(previews.subscription)
    observer.until(lambda: not camera.watched, "the edge to leave the camera")


def test_previews_come_as_often_as_asked_for(edge: NodeProcess, observer: Observer) -> None:
    camera = Camera(observer)
    latents = observer.record(CompressedLatent, "/shown/latent", EVERY)
    previews = observer.record(CompressedImage, TOPIC)
    assert observer.set_parameter("/shown/edge", "preview_fps", 0.1) == (True, "")
    observer.until(lambda: previews, "a preview", camera.shoot)
    latents.clear()
    observer.until(lambda: len(latents) > 20, "latents", camera.shoot, period_s=0.02)
    assert len(previews) < 3
    assert observer.set_parameter("/shown/edge", "preview_fps", 20.0) == (True, "")
    observer.until(lambda: len(previews) > 5, "previews again", camera.shoot, period_s=0.02)


def test_bytes_of_previews_count(edge: NodeProcess, observer: Observer) -> None:
    camera = Camera(observer, smooth=False)
    latents = observer.record(CompressedLatent, "/shown/latent", EVERY)
    level = lambda: int(latents[-1].data[5])  # noqa: E731
    observer.until(lambda: latents, "a latent", camera.shoot)
    assert observer.set_parameter("/shown/edge", "preview_quality", 100) == (True, "")
    assert observer.set_parameter("/shown/edge", "max_fps", 10.0) == (True, "")
    target = 1.3 * 10 * len(latents[-1].data) / 125
    assert observer.set_parameter("/shown/edge", "target_kbps", target) == (True, "")
    latents.clear()
    observer.until(lambda: len(latents) > 30, "latents", camera.shoot, period_s=0.03)
    assert level() == 0  # enough for latents alone
    previews = observer.record(CompressedImage, TOPIC)
    observer.until(lambda: level() > 0, "worse latents that pay for previews", camera.shoot, period_s=0.03)
    observer.node.destroy_subscription(previews.subscription)
    observer.until(lambda: level() == 0, "good latents again", camera.shoot, period_s=0.03)
    for name, value in {"target_kbps": 0.0, "max_fps": 0.0}.items():
        assert observer.set_parameter("/shown/edge", name, value) == (True, "")


def test_switched_off_it_shows_nothing(edge: NodeProcess, observer: Observer) -> None:
    camera = Camera(observer)
    previews = observer.record(CompressedImage, TOPIC)
    observer.until(lambda: previews, "a preview", camera.shoot)
    assert observer.enable("/shown/edge", False) == (True, "off")
    observer.until(lambda: not camera.watched, "the edge to leave the camera")
    assert observer.enable("/shown/edge", True) == (True, "on")
    previews.clear()
    observer.until(lambda: previews, "a preview", camera.shoot)


def test_there_is_none_unless_asked_for(start, observer: Observer, tiny_codec: Path) -> None:
    start(EDGE, bundle=str(tiny_codec), namespace="plain").wait_ready()
    observer.until(lambda: observer.node.count_publishers("/plain/latent"), "the node")
    assert observer.node.count_publishers("/plain/preview/compressed") == 0


def test_pictures_only_shrink() -> None:
    tall = np.zeros((1000, 2, 3), np.uint8)
    assert shrunk(tall, 100).shape == (100, 1, 3)
    assert shrunk(tall, 1000) is tall
