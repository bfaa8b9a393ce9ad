# SPDX-License-Identifier: Apache-2.0
"""The edge node over real DDS: images in from this process, latents out of another."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from node_process import NodeProcess
from numpy.typing import NDArray
from observer import SENSOR, Health, Observer
from rclpy.publisher import Publisher
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from frankensplit.bundle import CODEC_FORMAT, Codec
from frankensplit.edge.encoder import FrameEncoder
from frankensplit.edge.image import decode_compressed
from fs_common.images import byte_array, image_message
from fs_common.qos import keep_last
from fs_edge_node.launch_table import EDGE
from fs_msgs.msg import CompressedLatent

RNG = np.random.default_rng(7)


def picture(height: int = 96, width: int = 128) -> NDArray[np.uint8]:
    """Draw coarse noise, so that block means differ from block to block."""
    coarse = RNG.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return np.ascontiguousarray(coarse.repeat(8, 0).repeat(8, 1))


def header(number: int) -> Header:
    """Give a header that tells its frame from every other."""
    return Header(stamp=Time(sec=1000 + number, nanosec=number), frame_id="front_optical")


def raw(
    number: int, data: bytes, encoding: str, height: int, width: int, step: int, big: bool = False
) -> Image:
    """Make an image of raw bytes."""
    return Image(
        header=header(number),
        height=height,
        width=width,
        encoding=encoding,
        step=step,
        is_bigendian=int(big),
        data=byte_array(data),
    )


@pytest.fixture(scope="module")
def edge(start_for_module, tiny_codec: Path) -> NodeProcess:
    """Run one edge node for the tests of this module that leave it as it was."""
    return start_for_module(EDGE, bundle=str(tiny_codec), namespace="one", stale_after_s="1.0").wait_ready()


def camera_variants() -> list[tuple[Image, NDArray[np.uint8]]]:
    """Draw pictures as different cameras send them, each with the RGB that it must become."""
    rgb = picture()
    grey = np.repeat(rgb[..., :1], 3, axis=2)
    lit = np.repeat(rgb[..., :1] > 127, 3, axis=2)
    padded = np.zeros((96, 128 * 3 + 5), np.uint8)
    padded[:, : 128 * 3] = rgb[..., ::-1].reshape(96, -1)
    grey16 = (rgb[..., 0].astype(np.uint16) * 257).astype(">u2")
    yuyv = np.full((96, 128, 2), 128, np.uint8)  # a grey picture
    yuyv[..., 0] = np.where(lit[..., 0], 235, 16)  # BT.601's white and black
    mosaic = np.tile(np.array([[200, 100], [100, 50]], np.uint8), (48, 64))  # one colour all over
    large = picture(480, 640)
    return [
        (image_message(header(1), rgb, "rgb8"), rgb),
        (raw(2, padded.tobytes(), "bgr8", 96, 128, 128 * 3 + 5), rgb),
        (raw(3, grey16.tobytes(), "mono16", 96, 128, 256, big=True), grey),
        (raw(4, yuyv.tobytes(), "yuyv", 96, 128, 256), np.where(lit, 255, 0).astype(np.uint8)),
        (raw(5, mosaic.tobytes(), "bayer_rggb8", 96, 128, 128), np.full_like(rgb, (200, 100, 50))),
        (image_message(header(6), large, "rgb8"), large),
    ]


def first_latent(
    observer: Observer, latents: list[CompressedLatent], camera: Publisher, image: Image
) -> CompressedLatent:
    """Send an image until its latent is there; the header tells it from a late one of the image before."""
    mine = [one for one in latents if one.header == image.header]
    observer.until(
        lambda: mine or mine.extend(one for one in latents if one.header == image.header),
        f"a latent of {image.encoding}",
        lambda: camera.publish(image),
    )
    return mine[0]


def test_each_image_comes_out_as_its_own_packet(
    edge: NodeProcess, observer: Observer, tiny_codec: Path
) -> None:
    latents = observer.record(CompressedLatent, "/one/latent", SENSOR)
    camera = observer.publisher(Image, "/one/image")
    encoder = FrameEncoder(Codec.open(tiny_codec))
    for image, rgb in camera_variants():
        latent = first_latent(observer, latents, camera, image)
        assert (latent.height, latent.width, latent.format) == (image.height, image.width, CODEC_FORMAT)
        assert bytes(latent.data) == encoder.encode(rgb).data
        assert latent.received.sec > 0
        assert min(latent.preprocess_ms, latent.encode_ms, latent.entropy_ms) > 0


def test_sequence_rises_by_one_a_published_frame(edge: NodeProcess, observer: Observer) -> None:
    latents = observer.record(CompressedLatent, "/one/latent", keep_last("best_effort", 50))
    camera = observer.publisher(Image, "/one/image")
    image = image_message(header(1), picture(), "rgb8")
    observer.until(lambda: len(latents) >= 20, "latents", lambda: camera.publish(image), period_s=0.02)
    numbers = [latent.sequence for latent in latents]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_bad_images_are_counted_and_named_and_do_no_harm(edge: NodeProcess, observer: Observer) -> None:
    health = Health(observer, "one/edge: image")
    latents = observer.record(CompressedLatent, "/one/latent", SENSOR)
    camera = observer.publisher(Image, "/one/image")
    good = image_message(header(1), picture(), "rgb8")
    observer.until(lambda: latents, "a latent", lambda: camera.publish(good))
    health.settled()
    before = health.count("rejected")
    cut_off = raw(2, bytes(96 * 384 - 1), "rgb8", 96, 128, 384)
    observer.until(
        lambda: health.count("rejected") >= before + 20,
        "20 rejected",
        lambda: camera.publish(cut_off),
        period_s=0.02,
    )
    assert health.level == DiagnosticStatus.WARN
    assert str(96 * 384) in health.status.message
    observer.until(lambda: "such frames since the last warning" in edge.log, "the held-back count")
    assert 2 <= edge.log.count("rejected: ") < 10
    latents.clear()
    observer.until(lambda: latents, "a latent after bad images", lambda: camera.publish(good))


def test_silence_is_reported_as_stale(edge: NodeProcess, observer: Observer) -> None:
    health = Health(observer, "one/edge: image")
    observer.until(lambda: health.level == DiagnosticStatus.STALE, "STALE without a camera")
    assert health.status.message == "nobody publishes /one/image"
    observer.record(CompressedLatent, "/one/latent", SENSOR)
    observer.publisher(Image, "/one/image")
    observer.until(
        lambda: health.status.message.startswith("nothing has arrived for"), "STALE with a silent camera"
    )
    assert health.level == DiagnosticStatus.STALE


def test_parameters_refuse_what_they_do_not_allow(edge: NodeProcess, observer: Observer) -> None:
    done, reason = observer.set_parameter("/one/edge", "threads", 2)
    assert not done and "read-only" in reason
    done, reason = observer.set_parameter("/one/edge", "stale_after_s", -1.0)
    assert not done and "range" in reason
    done, reason = observer.set_parameter("/one/edge", "lazy", "sometimes")
    assert not done and "type" in reason
    assert observer.set_parameter("/one/edge", "stale_after_s", 1.5) == (True, "")


def test_no_work_without_subscribers_unless_asked(edge: NodeProcess, observer: Observer) -> None:
    health = Health(observer, "one/edge: image")
    camera = observer.node.create_publisher(Image, "/one/image", SENSOR)
    image = image_message(header(1), picture(), "rgb8")
    observer.until(lambda: camera.get_subscription_count() == 0, "the edge to leave")
    health.settled()
    received, published = health.count("received"), health.count("published")
    health.settled(lambda: camera.publish(image))
    assert (health.count("received"), health.count("published")) == (received, published)
    assert (health.level, health.status.message) == (DiagnosticStatus.OK, "idle: nobody subscribes")
    assert observer.set_parameter("/one/edge", "lazy", False) == (True, "")
    observer.until(lambda: health.count("published") > published, "work", lambda: camera.publish(image))
    assert observer.set_parameter("/one/edge", "lazy", True) == (True, "")
    observer.until(lambda: camera.get_subscription_count() == 0, "the edge to leave again")


def test_subscribers_may_come_and_go_in_mid_stream(edge: NodeProcess, observer: Observer) -> None:
    camera = observer.node.create_publisher(Image, "/one/image", SENSOR)
    image = image_message(header(1), picture(), "rgb8")
    for _ in range(5):
        listen_once(observer, lambda: camera.publish(image))
        observer.until(
            lambda: camera.get_subscription_count() == 0, "the edge to leave", lambda: camera.publish(image)
        )


def listen_once(observer: Observer, shoot: Callable[[], None]) -> None:
    """Subscribe to latents until one is there."""
    latents = observer.record(CompressedLatent, "/one/latent", SENSOR)
    observer.until(lambda: latents, "a latent", shoot, period_s=0.01)
    observer.node.destroy_subscription(latents.subscription)


def test_switched_off_it_holds_neither_camera_nor_encoder(edge: NodeProcess, observer: Observer) -> None:
    health = Health(observer, "one/edge: image")
    latents = observer.record(CompressedLatent, "/one/latent", SENSOR)
    camera = observer.publisher(Image, "/one/image")
    image = image_message(header(1), picture(), "rgb8")
    observer.until(lambda: latents, "a latent", lambda: camera.publish(image))
    assert observer.enable("/one/edge", False) == (True, "off")
    observer.until(lambda: camera.get_subscription_count() == 0, "the edge to leave the camera")
    health.settled()
    facts = {pair.key: pair.value for pair in health.status.values}
    assert facts["runtime"] == health.status.message.partition(" by")[0] == "switched off"
    assert health.level == DiagnosticStatus.OK
    assert observer.enable("/one/edge", False) == (True, "off")
    assert observer.enable("/one/edge", True) == (True, "on")
    latents.clear()
    observer.until(lambda: latents, "a latent after it was switched on again", lambda: camera.publish(image))


def test_a_server_that_is_gone_may_be_a_fault(edge: NodeProcess, observer: Observer) -> None:
    health = Health(observer, "one/edge: image")
    observer.node.create_publisher(Image, "/one/image", SENSOR)
    for name, level in (("warn", DiagnosticStatus.WARN), ("error", DiagnosticStatus.ERROR)):
        assert observer.set_parameter("/one/edge", "idle_level", name) == (True, "")
        observer.until(lambda wanted=level: health.level == wanted, f"{name} without a server")
        assert health.status.message == "idle: nobody subscribes"
    assert observer.set_parameter("/one/edge", "idle_level", "ok") == (True, "")
    observer.until(lambda: health.level == DiagnosticStatus.OK, "OK without a server")


def test_torch_is_not_in_the_process(edge: NodeProcess) -> None:
    mapped = Path(f"/proc/{edge.process.pid}/maps").read_text()
    assert "onnxruntime" in mapped
    assert "libtorch" not in mapped


def test_whole_images_arrive_at_30_hz(start, observer: Observer, tiny_codec: Path) -> None:
    start(EDGE, bundle=str(tiny_codec), namespace="vga", image_depth="20", lazy="false").wait_ready()
    health = Health(observer, "vga/edge: image")
    camera = observer.publisher(Image, "/vga/image")
    image = image_message(header(1), picture(480, 640), "rgb8")
    observer.until(lambda: health.count("received") > 0, "the first image", lambda: camera.publish(image))
    health.settled()
    before, frames = health.count("received"), 60
    sent = iter(range(frames))

    def send() -> None:
        if next(sent, None) is not None:
            camera.publish(image)

    observer.until(lambda: health.count("received") - before >= frames, "all frames", send, period_s=1 / 30)
    health.settled()
    assert health.count("received") - before == frames


def test_compressed_images(start, observer: Observer, tiny_codec: Path) -> None:
    edge = start(EDGE, bundle=str(tiny_codec), namespace="jpeg", transport="compressed").wait_ready()
    health = Health(observer, "jpeg/edge: image")
    latents = observer.record(CompressedLatent, "/jpeg/latent", SENSOR)
    camera = observer.publisher(CompressedImage, "/jpeg/image/compressed")
    data = cv2.imencode(".jpg", picture())[1].tobytes()
    image = CompressedImage(header=header(1), format="rgb8; jpeg compressed bgr8", data=byte_array(data))
    observer.until(lambda: latents, "a latent", lambda: camera.publish(image))
    expected = FrameEncoder(Codec.open(tiny_codec)).encode(decode_compressed(data, image.format))
    assert latents[0].header == image.header
    assert bytes(latents[0].data) == expected.data
    image.data = byte_array(data[:-2])  # whole, but for the end marker
    latents.clear()
    observer.until(lambda: latents, "a latent of the whole picture", lambda: camera.publish(image))
    assert bytes(latents[0].data) == expected.data and health.count("rejected") <= 0
    middle = len(data) * 3 // 4
    for bad in (data[: len(data) // 2], data[:700] + data[middle:]):
        before = max(0, health.count("rejected"))
        image.data = byte_array(bad)
        observer.until(
            lambda before=before: health.count("rejected") > before,
            "a rejection",
            lambda: camera.publish(image),
        )
    assert "damaged inside or cut off: Corrupt JPEG data" in edge.log


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_cleanly_in_mid_stream(start, observer: Observer, tiny_codec: Path, how) -> None:
    edge = start(EDGE, bundle=str(tiny_codec), namespace="end").wait_ready()
    latents = observer.record(CompressedLatent, "/end/latent", SENSOR)
    camera = observer.publisher(Image, "/end/image")
    image = image_message(header(1), picture(480, 640), "rgb8")
    observer.until(lambda: latents, "a latent", lambda: camera.publish(image), period_s=0.01)
    camera.publish(image)
    assert edge.stop_impatiently(how) == 0, edge.log
    assert "Traceback" not in edge.log
    assert "Error" not in edge.log


def assert_refuses_to_start(edge: NodeProcess, *words: str) -> None:
    """Hold a node that cannot start to status 2 and a text without a traceback."""
    assert edge.wait() == 2
    assert "Traceback" not in edge.log
    assert all(word in edge.log for word in words), edge.log


def test_it_says_why_it_cannot_start(start, tiny_codec: Path, tmp_path: Path) -> None:
    out_of_range = tmp_path / "edge.yaml"
    out_of_range.write_text("/**:\n  ros__parameters:\n    stale_after_s: 0.0\n", encoding="utf-8")
    lost = start(EDGE, bundle="nowhere")
    wrong = start(EDGE, bundle=str(tiny_codec), params_file=str(out_of_range))
    assert_refuses_to_start(lost, "nowhere", "give a folder")
    assert_refuses_to_start(wrong, "stale_after_s is 0.0", "choose 0.1 to 3600")
