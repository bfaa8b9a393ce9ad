# SPDX-License-Identifier: Apache-2.0
"""The benchmark over a real link with the real nodes; it says why where it cannot run, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from frankensplit.benchmarks.namespaces import PREFIX, why_not
from frankensplit.cli import main
from frankensplit.errors import DataError
from fs_bench.network import parse_stream
from fs_common.launch_environment import inherited_environment

pytest.importorskip("rclpy", reason="needs ROS 2: run `make setup`, or source a ROS installation")

REASON = why_not()
needs_links = pytest.mark.skipif(REASON is not None, reason=str(REASON))
SHORT = ["--rate", "4", "--seconds", "1"]

RUN = """
import sys, time
from pathlib import Path
from frankensplit.benchmarks.namespaces import SERVER, LossyLink
from frankensplit.processes import signals_interrupt
from fs_bench.launch_table import RECORDER
from fs_bench.session import LinkProcesses

folder = Path(sys.argv[1])
with signals_interrupt(), LossyLink(12.0) as link, LinkProcesses(folder, link) as processes:
    processes.start_at(SERVER, RECORDER, folder=str(folder / "masks"))
    time.sleep(60)
"""


def test_skips_with_its_reason(monkeypatch, tmp_path, capsys) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert main(["bench", "network", "street", "--json", str(tmp_path / "out.json")]) == 0
    result = json.loads((tmp_path / "out.json").read_text())
    assert "needs ip" in result["skipped"] and result["rows"] == []
    assert f"skipped: {result['skipped']}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("stream", "complaint"),
    [
        ("divx", "no rival 'divx'"),
        ("zlib", "zlib codes latent, expected a codec of pictures"),
        ("jpeg:good", "expected NAME or NAME:QUALITY, such as jpeg:60"),
    ],
)
def test_refuses_streams_that_are_none(stream: str, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        parse_stream(stream)


def test_streams_by_name_and_quality() -> None:
    parsed = [parse_stream(text) for text in ("raw", "frankensplit", "jpeg:60")]
    assert [(one.codec, one.quality) for one in parsed] == [("raw", None), ("frankensplit", 0), ("jpeg", 60)]


@needs_links
def test_packets_and_pictures_cross_the_link(bundle_path: Path, tmp_path: Path) -> None:
    out, profile = tmp_path / "out.json", tmp_path / "link.yaml"
    streams = ["--stream", "h264-p:28", "--stream", "frankensplit", "--loss", "0"]
    wanted = [*streams, *SHORT, "--json", str(out), "--save-profile", str(profile)]

    assert main(["bench", "network", str(bundle_path), *wanted]) == 0
    result = json.loads(out.read_text())
    assert result["not_measured"] == {}
    assert [row["codec"] for row in result["rows"]] == ["h264-p", "frankensplit"]
    for row in result["rows"]:
        assert row["camera_frames"] == 4 and 1 <= row["delivered"] <= row["sent"] <= 4
        assert row["value_delivered"] > 0.8 * result["unmodified"]
        # The raw image is 518,400 bytes: it must not have crossed.
        assert 1000 < row["bytes_per_frame"] < row["wire_bytes_per_frame"] < 50_000
    assert 9 < result["link"]["goodput_mbit_s"] < 13
    assert "mbit_s: 1" in profile.read_text()


@needs_links
def test_a_terminated_run_leaves_nothing(repository: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", RUN, str(tmp_path)]
    run = subprocess.Popen(
        command, env=inherited_environment(), cwd=repository, stderr=subprocess.PIPE, text=True
    )
    try:
        _wait(lambda: any(_processes(name) for name in _namespaces(run.pid)), "a node in a namespace", run)
        run.send_signal(signal.SIGTERM)
        _, said = run.communicate(timeout=60)
    finally:
        run.kill()
    assert "Interrupted: SIGTERM" in said
    assert _namespaces(run.pid) == []


def _namespaces(pid: int) -> list[str]:
    listed = subprocess.run(
        ["ip", "netns", "list"], capture_output=True, text=True, check=True
    ).stdout.split()
    return [name for name in listed if name.startswith(f"{PREFIX}-{pid}-")]


def _processes(namespace: str) -> list[str]:
    found = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True)
    return found.stdout.split()


def _wait(reached, what: str, run: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while not reached():
        assert run.poll() is None, run.stderr.read()
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.1)
