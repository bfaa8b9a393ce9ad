# SPDX-License-Identifier: Apache-2.0
"""What the edge node sends when it is told how much it may: levels, kilobits a second, frames a second."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from levelled_codec import STEPS, write_levelled_codec
from node_process import NodeProcess
from observer import Health, Observer, Recording
from rclpy.publisher import Publisher
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from frankensplit.bundle import Codec
from frankensplit.edge.encoder import FrameEncoder
from fs_common.images import image_message
from fs_common.qos import keep_last
from fs_common.times import stamp_ns
from fs_edge_node.launch_table import EDGE
from fs_msgs.msg import CompressedLatent

CAMERA_S = 1 / 30
WINDOW_S = 5.0
PATIENT = keep_last("best_effort", 100)


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Codec:
    """Make a codec with levels."""
    folder = tmp_path_factory.mktemp("levels") / "codec"
    return Codec.open(write_levelled_codec(folder, nominal_height=96, nominal_width=128))


@pytest.fixture(scope="module")
def edge(start_for_module, codec: Codec) -> NodeProcess:
    """Run one edge node whose limits the tests change."""
    return start_for_module(EDGE, bundle=str(codec.path), namespace="rate", image_depth="5").wait_ready()


class Camera:
    """Shows one picture over and over, each frame with a stamp of its own."""

    def __init__(self, observer: Observer) -> None:
        self.rgb = np.random.default_rng(5).integers(0, 256, (96, 128, 3), dtype=np.uint8)
        self.shown = 0
        self._publisher: Publisher = observer.publisher(Image, "/rate/image")

    def shoot(self) -> None:
        """Publish the next frame."""
        self.shown += 1
        header = Header(stamp=Time(sec=1000 + self.shown, nanosec=1), frame_id="camera")
        self._publisher.publish(image_message(header, self.rgb, "rgb8"))


class Link:
    """The node's limits, a camera in front of it, and all that comes out."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self.latents: Recording = observer.record(CompressedLatent, "/rate/latent", PATIENT)
        self.health = Health(observer, "rate/edge: image")
        self.camera = Camera(observer)

    def limit(self, **limits: float) -> None:
        """Change limits; those that are not named are off."""
        for name, value in {"level": 0, "target_kbps": 0.0, "max_fps": 0.0, **limits}.items():
            assert self._observer.set_parameter("/rate/edge", name, value) == (True, "")

    def run(self, until: Callable[[], object], what: str) -> None:
        """Let the camera run at 30 Hz."""
        self._observer.until(until, what, self.camera.shoot, period_s=CAMERA_S)

    def run_until_level(self, level: int) -> None:
        """Let the camera run until latents are of a level."""
        self.run(lambda: self.latents and level_of(self.latents[-1]) == level, f"level {level}")

    def run_for(self, seconds: float) -> list[CompressedLatent]:
        """Let the camera run; give the latents of images that came to the node in so many seconds of its time."""
        self.latents.clear()
        self.run(lambda: self.latents and self._seconds() > seconds, f"latents of {seconds} s")
        return list(self.latents)

    def _seconds(self) -> float:
        return received_s(self.latents[-1]) - received_s(self.latents[0])


@pytest.fixture
def link(edge: NodeProcess, observer: Observer) -> Iterator[Link]:
    """Listen to the node and show it something; no limits are left behind."""
    made = Link(observer)
    yield made
    made.limit()


def level_of(latent: CompressedLatent) -> int:
    """Read the level from a packet's header."""
    return int(latent.data[5])


def received_s(latent: CompressedLatent) -> float:
    """When the image came to the node."""
    return stamp_ns(latent.received) / 1e9


def kbps(latents: list[CompressedLatent], first_s: float) -> float:
    """Give the mean kilobits a second of a window."""
    inside = [one for one in latents if first_s <= received_s(one) < first_s + WINDOW_S]
    return sum(len(one.data) for one in inside) / WINDOW_S / 125


def test_a_level_is_taken_between_two_frames_and_written_in_the_packet(link: Link, codec: Codec) -> None:
    encoder = FrameEncoder(codec)
    expected = [encoder.encode(link.camera.rgb, level).data for level in range(len(STEPS))]
    assert len(expected[0]) > len(expected[1]) > len(expected[2])
    for level in (2, 0, 1):
        link.limit(level=level)
        link.run_until_level(level)
        assert {bytes(one.data) for one in link.latents} <= set(expected)
        link.run(lambda: link.health.status, "diagnostics")
        link.health.settled(link.camera.shoot)
        assert link.health.count("level") == level
    numbers = [one.sequence for one in link.latents]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_a_level_that_the_codec_lacks_is_refused(
    start, edge: NodeProcess, observer: Observer, codec: Codec
) -> None:
    done, reason = observer.set_parameter("/rate/edge", "level", 3)
    assert not done and "Max: 2" in reason  # the range that ROS tools show
    wrong = start(EDGE, bundle=str(codec.path), level="7")
    assert wrong.wait() == 2
    assert "this codec has 0 to 2" in wrong.log and "Traceback" not in wrong.log


def test_a_target_is_held_in_real_bytes(link: Link, codec: Codec) -> None:
    last = len(FrameEncoder(codec).encode(link.camera.rgb, len(STEPS) - 1).data)
    target = last * 10 / 125  # ten of the smallest packets a second
    link.limit(target_kbps=target)
    link.run_until_level(len(STEPS) - 1)
    before = link.health.count("skipped")
    latents = link.run_for(2.2 * WINDOW_S)
    start = received_s(latents[0])
    windows = [kbps(latents, start + 0.2 * step) for step in range(31)]
    assert max(windows) < 1.07 * target
    assert min(windows) > 0.85 * target  # a busy machine's camera may halt for a moment
    assert {level_of(one) for one in latents} == {len(STEPS) - 1}
    link.health.settled()
    assert link.health.count("skipped") > before
    link.limit()
    link.run_until_level(0)


def test_a_target_between_two_levels_takes_both(link: Link, codec: Codec) -> None:
    encoder = FrameEncoder(codec)
    sizes = [len(encoder.encode(link.camera.rgb, level).data) for level in range(len(STEPS))]
    link.limit(max_fps=8.0, target_kbps=8 * (sizes[0] + sizes[1]) / 2 / 125)
    link.run_until_level(1)
    latents = link.run_for(WINDOW_S)
    assert {level_of(one) for one in latents} == {0, 1}
    changes = sum(a != b for a, b in zip(map(level_of, latents), map(level_of, latents[1:]), strict=False))
    assert changes < len(latents) / 2


def test_frames_a_second_are_held(link: Link) -> None:
    link.limit(max_fps=5.0)
    latents = link.run_for(WINDOW_S)
    seconds = received_s(latents[-1]) - received_s(latents[0])
    assert (len(latents) - 1) / seconds == pytest.approx(5, rel=0.1)


def test_every_frame_is_accounted_for_and_in_order(link: Link) -> None:
    link.limit(max_fps=20.0)
    first = link.camera.shown
    link.run(lambda: link.camera.shown >= first + 200, "200 frames")
    link.health.settled()
    counts = {key: link.health.count(key) for key in ("received", "published", "dropped", "skipped")}
    assert counts["received"] == counts["published"] + counts["dropped"] + counts["skipped"]
    stamps = [one.header.stamp.sec for one in link.latents]
    assert stamps == sorted(set(stamps))


def test_a_missing_precision_is_refused(start, codec: Codec) -> None:
    wrong = start(EDGE, bundle=str(codec.path), precision="int8")
    assert wrong.wait() == 2
    assert "int8" in wrong.log and "fp32" in wrong.log and "Traceback" not in wrong.log


def test_auto_says_which_runtime_it_took(start, observer: Observer, codec: Codec) -> None:
    edge = start(EDGE, bundle=str(codec.path), runtime="auto", namespace="auto").wait_ready()
    health = Health(observer, "auto/edge: image")
    observer.until(lambda: health.status, "diagnostics")
    facts = {pair.key: pair.value for pair in health.status.values}
    assert f", {facts['runtime']} in fp32" in edge.log
    assert (facts["precision"], facts["level"]) == ("fp32", "0")
