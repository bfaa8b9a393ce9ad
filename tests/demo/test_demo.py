# SPDX-License-Identifier: Apache-2.0
"""The whole demo over real DDS: five processes, known truth, a recording; then Ctrl-C in mid-stream."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy", reason="needs ROS 2: run `make setup`, or source a ROS installation")
pytest.importorskip("fs_msgs.msg", reason="fs_msgs is not built: run `make setup` or colcon build")

from rosbags.highlevel import AnyReader

from frankensplit.bundle import Bundle
from frankensplit.data.street import CLASSES, Street

# Floors, not targets: far above what a broken path gives (chance is below 10), well below what the bundle reaches.
MIOU_FLOOR, F1_FLOOR = 40.0, 75.0
SECONDS, FPS = 6.0, 5.0


@dataclass(frozen=True)
class Run:
    """What a demo left behind."""

    summary: dict[str, Any]
    text: str
    out: Path
    bag: Path


def command(bundle: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "frankensplit", "demo", "--bundle", str(bundle), "--out", str(out), *more]


@pytest.fixture(scope="module")
def run(bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run the demo on the street once for all tests."""
    out = tmp_path_factory.mktemp("demo")
    more = ["--seconds", str(SECONDS), "--fps", str(FPS), "--record", str(out / "bag"), "--json", "-"]
    ended = subprocess.run(
        command(bundle_path, out, *more), capture_output=True, text=True, timeout=300, check=False, cwd=out
    )
    assert ended.returncode == 0, ended.stderr
    return Run(json.loads(ended.stdout), ended.stderr, out, out / "bag")


def test_frames_come_through(run: Run) -> None:
    frames = run.summary["frames"]
    assert 10 <= frames["camera"] <= SECONDS * FPS + 1  # fewer than asked for on a busy machine
    assert frames["predicted"] >= 5
    assert frames["predicted"] <= frames["encoded"] <= frames["camera"]
    assert (frames["rejected"], frames["skipped"]) == (0, 0)


def test_each_node_is_a_process_of_its_own(run: Run) -> None:
    pids = run.summary["processes"]
    assert len(set(pids.values())) == 5 and os.getpid() not in pids.values()
    assert f"predicted by the server (pid {pids['server']})" in run.text


def test_predictions_agree_with_the_truth(run: Run) -> None:
    heads = run.summary["heads"]
    assert all(head["frames"] == run.summary["frames"]["predicted"] for head in heads.values())
    assert heads["segmentation"]["value"] > MIOU_FLOOR
    assert heads["presence"]["value"] > F1_FLOOR
    assert heads["detections"]["value"] > 5.0


def test_sizes_and_times_are_plausible(run: Run) -> None:
    sizes, latency = run.summary["bytes_per_frame"], run.summary["latency_ms"]
    assert sizes["packet"] < sizes["jpeg_q90"] < sizes["png"] < sizes["raw"] == 480 * 360 * 3
    stages = [row["p50"] for stage, row in latency.items() if stage != "camera to prediction"]
    assert len(stages) == 8 and all(value is not None and value >= 0 for value in stages)
    assert max(stages) < latency["camera to prediction"]["p50"] <= latency["camera to prediction"]["p95"]


def test_pictures_can_be_opened(run: Run) -> None:
    import av

    sheet = cv2.imread(str(run.out / "contact-sheet.png"))
    assert sheet is not None and sheet.shape[1] > 3 * 480 and sheet.std() > 20
    with av.open(str(run.out / "overlay.mp4")) as container:
        count = sum(1 for _ in container.decode(video=0))
        assert (container.streams.video[0].width, container.streams.video[0].codec_context.name) == (
            960,
            "h264",
        )
    assert 0 < count <= run.summary["frames"]["predicted"]


def test_nodes_ended_cleanly(run: Run) -> None:
    for log in (run.out / "logs").iterdir():
        text = log.read_text(encoding="utf-8", errors="replace")
        assert "Traceback" not in text and "[ERROR]" not in text, f"{log.name}:\n{text}"
    assert not any(_alive(pid) for pid in run.summary["processes"].values())


def read_bag(bag: Path) -> dict[str, list[Any]]:
    """Read every message with the definitions inside the bag alone."""
    messages: dict[str, list[Any]] = {}
    with AnyReader([bag]) as reader:
        for connection, _, data in reader.messages():
            messages.setdefault(connection.topic, []).append(reader.deserialize(data, connection.msgtype))
    return messages


def stamp(message: Any) -> tuple[int, int]:
    return message.header.stamp.sec, message.header.stamp.nanosec


def test_the_recording_holds_everything(run: Run, bundle_path: Path) -> None:
    messages, frames = read_bag(run.bag), run.summary["frames"]
    for_eyes = (
        "/overlay",
        "/overlay/compressed",
        "/segmentation/color_mask",
        "/segmentation/mask/compressed",
    )
    assert not [topic for topic in for_eyes if topic in messages]
    assert len(messages["/image"]) >= frames["predicted"]
    assert len(messages["/latent"]) >= frames["predicted"]
    for topic in ("/report", "/segmentation/mask", "/presence", "/detections"):
        assert len(messages[topic]) == frames["predicted"], topic
    labels = messages["/segmentation/label_info"][0]
    assert [one.class_name for one in labels.class_map] == list(CLASSES)
    codec = Bundle.open(bundle_path).codec
    symbols, packet = codec.unpack(messages["/latent"][0].data.tobytes())
    assert (packet.source_height, packet.source_width) == (360, 480) and symbols.any()
    images = {stamp(one): one for one in messages["/image"]}
    truths = {stamp(one): one for one in messages["/truth"]}
    first = min(images)
    assert first in truths and images[first].header.frame_id == "camera"
    expected = Street(0, fps=FPS).frame(0)
    np.testing.assert_array_equal(images[first].data.reshape(360, 480, 3), expected.rgb)
    np.testing.assert_array_equal(truths[first].data.reshape(360, 480), expected.mask)
    masks = {stamp(one): one.data.reshape(360, 480) for one in messages["/segmentation/mask"]}
    right = [float((mask == truths[key].data.reshape(360, 480)).mean()) for key, mask in masks.items()]
    assert np.mean(right) > 0.7


def test_the_index_of_the_recording_is_one_that_players_take(run: Run) -> None:
    index = yaml.safe_load((run.bag / "metadata.yaml").read_text(encoding="utf-8"))[
        "rosbag2_bagfile_information"
    ]
    topics = {
        one["topic_metadata"]["name"]: one["topic_metadata"] for one in index["topics_with_message_count"]
    }
    offered = {name: yaml.safe_load(one["offered_qos_profiles"])[0] for name, one in topics.items()}
    reliable, best_effort, latched, volatile = 1, 2, 1, 2  # rmw's numbers
    wanted = {
        "/image": (best_effort, volatile),
        "/latent": (best_effort, volatile),
        "/segmentation/mask": (reliable, volatile),
        "/segmentation/label_info": (reliable, latched),
    }
    found = {name: (offered[name]["reliability"], offered[name]["durability"]) for name in wanted}
    assert found == wanted
    assert all(
        one["history"] == 1 and one["depth"] >= 1 and one["liveliness"] == 1 for one in offered.values()
    )
    assert topics["/latent"]["type"] == "fs_msgs/msg/CompressedLatent"
    assert all(one["type_description_hash"].startswith("RIHS01_") for one in topics.values())


def test_the_recording_can_be_the_source(run: Run) -> None:
    from frankensplit.data.sources import open_source

    with pytest.raises(Exception, match="/image"):
        open_source(str(run.bag))  # several topics of images: it asks which
    frames = list(open_source(str(run.bag), topic="/image"))
    np.testing.assert_array_equal(frames[0].rgb, Street(0, fps=FPS).frame(0).rgb)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _children(parent: int) -> dict[str, int]:
    """Return the process ids of a demo's nodes by module."""
    pids = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii").split()
    commands = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0") for pid in pids}
    return {words[words.index("-m") + 1]: pid for pid, words in commands.items() if "-m" in words}


@dataclass
class Running:
    """A demo in mid-stream."""

    process: subprocess.Popen[str]
    nodes: dict[str, int]

    def end(self) -> str:
        """Wait for its end, hold it to have left nothing behind, and return what it said."""
        _, text = self.process.communicate(timeout=120)
        assert "Traceback" not in text
        assert not any(_alive(pid) for pid in self.nodes.values())
        return text


@pytest.fixture
def running(bundle_path: Path, tmp_path: Path) -> Iterator[Running]:
    """Start a long demo and wait until frames have come through."""
    more = ["--fps", "5", "--seconds", "200", "--json", str(tmp_path / "result.json")]
    process = subprocess.Popen(command(bundle_path, tmp_path, *more), stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert any(re.match(r"\d+ frames, ", line) for line in process.stderr), (
        "it ended before a frame came through"
    )
    yield Running(process, _children(process.pid))
    process.kill()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_all_and_still_gives_the_results(
    running: Running, tmp_path: Path, how: signal.Signals
) -> None:
    assert set(running.nodes) == {"fs_edge_node", "fs_server_node", "fs_demo.monitor", "fs_demo.camera"}
    running.process.send_signal(how)
    text = running.end()
    assert running.process.returncode == 0, text
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert result["interrupted"] and result["frames"]["predicted"] > 0
    assert set(result["processes"].values()) == set(running.nodes.values())
    assert (tmp_path / "contact-sheet.png").is_file()


def test_a_node_that_dies_ends_the_demo_with_its_name(running: Running) -> None:
    os.kill(running.nodes["fs_server_node"], signal.SIGKILL)
    text = running.end()
    assert running.process.returncode == 2
    assert "server ended with status -9" in text


def test_an_unknown_source_is_refused_at_once(bundle_path: Path, tmp_path: Path) -> None:
    film = str(tmp_path / "no-such-film.mp4")
    asked = command(bundle_path, tmp_path / "out", "--source", film)
    ended = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert film in ended.stderr and "Traceback" not in ended.stderr
    assert not (tmp_path / "out").exists()
