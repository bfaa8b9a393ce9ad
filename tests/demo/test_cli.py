# SPDX-License-Identifier: Apache-2.0
"""The verb ``demo`` without its processes: arguments, summary text, environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from frankensplit.cli import main
from frankensplit.cli.demo import report
from fs_common.processes import demo_environment, fast_dds_profile

SUMMARY = {
    "source": "street",
    "bundle": "b",
    "codec": "00ff",
    "frames": {
        "camera": 20,
        "skipped": 1,
        "predicted": 18,
        "encoded": 19,
        "lost": 1,
        "dropped": 0,
        "rejected": 0,
        "not_encoded": 1,
    },
    "bytes_per_frame": {"packet": 5000.0, "raw": 500000.0, "png": 100000.0, "jpeg_q90": None},
    "latency_ms": {"transit": {"p50": None, "p95": None}, "whole": {"p50": 41.25, "p95": 60.0}},
    "heads": {"segmentation": {"metric": "mIoU", "value": 71.26, "frames": 18}},
    "processes": {"camera": 3, "edge": 4, "server": 77},
    "files": {"video": "overlay.mp4"},
}


def test_the_summary_says_which_process_predicted():
    text = report(SUMMARY, Path("out"), None)
    assert "18 frames predicted by the server (pid 77)" in text
    assert "100.0 times less than raw" in text and "jpeg" not in text
    assert "mIoU 71.3 over 18 frames" in text and "out/overlay.mp4" in text


def test_the_summary_names_what_was_left_out():
    skipped = [{"name": f"p{number}.jpg", "cause": "is damaged"} for number in range(12)]
    text = report(SUMMARY | {"skipped": skipped, "notes": ["files that are not read: 2"]}, Path("out"), None)
    assert "unreadable p0.jpg: is damaged" in text and "p10.jpg" not in text and "are 2 more" in text
    assert "note: files that are not read: 2" in text


@pytest.mark.parametrize(
    "wrong", [["--frames", "0"], ["--seconds", "-1"], ["--fps", "nan"], ["--device", "tpu"]]
)
def test_wrong_usage_is_status_2(wrong: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main(["demo", *wrong])
    assert ended.value.code == 2
    assert wrong[1] in capsys.readouterr().err


def test_without_ros_it_says_how_to_get_it():
    code = (
        "import sys, importlib.util as u; real = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'rclpy' else real(name, *a)\n"
        "from frankensplit.cli import main; sys.exit(main(['demo']))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "rclpy" in ended.stderr and "make setup" in ended.stderr and "Traceback" not in ended.stderr


def test_the_verb_itself_imports_no_ros():
    code = "import sys, frankensplit.cli.demo, fs_demo.session; sys.exit('rclpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_nodes_get_a_private_clean_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("_ROS_WHEELS_BOOTSTRAP_COMPLETE", "1")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/overlay/lib")
    monkeypatch.delenv("FASTRTPS_DEFAULT_PROFILES_FILE", raising=False)
    environment = demo_environment(fast_dds_profile())
    assert "_ROS_WHEELS_BOOTSTRAP_COMPLETE" not in environment
    # A sourced workspace's libraries are found by it.
    assert environment["LD_LIBRARY_PATH"] == "/overlay/lib"
    assert 1 <= int(environment["ROS_DOMAIN_ID"]) <= 100
    assert environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    assert Path(environment["FASTRTPS_DEFAULT_PROFILES_FILE"]).name == "fastdds.xml"
