# SPDX-License-Identifier: Apache-2.0
"""Run one demo from start to summary. No ROS import."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frankensplit.bundle import find_bundle
from frankensplit.data.sources import is_camera, open_source
from frankensplit.writing import FolderKind, check_folder, kept_folder
from fs_common.processes import ProcessError, Processes, fast_dds_profile
from fs_demo.launch_table import CAMERA, MONITOR, RECORDER
from fs_edge_node.launch_table import EDGE
from fs_server_node.launch_table import SERVER

CAMERA_FILE, SUMMARY_FILE, LOGS = "camera.json", "summary.json", "logs"
DEMO = FolderKind(
    "demo's output",
    re.compile(r"(camera|summary)\.json|overlay\.mp4|contact-sheet\.png|logs/[a-z_]+\.log"),
    frozenset({LOGS}),
    lambda folder: (folder / LOGS).is_dir(),
)


@dataclass(frozen=True)
class DemoOptions:
    """What the user asked for; 0 means no limit, or the source's own rate."""

    source: str
    bundle: str
    out: Path
    topic: str = ""
    rate_hz: float = 0.0
    frames: int = 0
    seconds: float = 0.0
    record: Path | None = None
    device: str = "cpu"


def run_demo(options: DemoOptions) -> dict[str, Any]:
    """Start edge, server, monitor, recorder and camera; return the summary when the camera has ended.

    Raises:
        ProcessError: a process failed; the text holds the end of its log.
        BundleError, DataError: there is no such bundle or source.
        OutputError: something else is where output or recording go, or another demo writes there.
    """
    check_folder(options.out, DEMO)
    if options.record is not None:
        check_folder(options.record)
    find_bundle(options.bundle)
    if not is_camera(options.source):  # a camera can be opened only once
        open_source(options.source, topic=options.topic or None)
    profile = fast_dds_profile()
    print("starting edge, server, monitor and camera ...", file=sys.stderr)
    with (
        kept_folder(options.out, DEMO) as out,
        Processes(out / LOGS, profile) as processes,
    ):
        for name in (CAMERA_FILE, SUMMARY_FILE):
            (out / name).unlink(missing_ok=True)
        _start_watchers(processes, options)
        interrupted = _run_camera(processes, options)
        pids = {name: process.pid for name, process in processes.running.items()}
        _stop(processes)
    return _summary(options, pids, interrupted)


def _start_watchers(processes: Processes, options: DemoOptions) -> None:
    bundle = options.bundle
    processes.start(EDGE, bundle=bundle)
    processes.start(SERVER, bundle=bundle, device=options.device)
    processes.start(MONITOR, bundle=bundle, out=str(options.out), title=options.source)
    if options.record is not None:
        processes.start(RECORDER, folder=str(options.record))
    processes.wait_ready()


def _run_camera(processes: Processes, options: DemoOptions) -> bool:
    """Run the camera to its end; return whether Ctrl-C or another signal ended it."""
    subscribers = 2 if options.record is None else 3  # edge, monitor, recorder
    values = {
        "source": options.source,
        "topic": options.topic,
        "rate_hz": str(options.rate_hz),
        "frames": str(options.frames),
        "seconds": str(options.seconds),
        "subscribers": str(subscribers),
        "report": str(options.out / CAMERA_FILE),
    }
    camera = processes.start(CAMERA, **values)
    try:
        status = processes.wait_for("camera")
    except KeyboardInterrupt:
        return True
    if status:
        raise ProcessError(f"camera ended with status {status}:\n{camera.tail()}")
    return False


def _stop(processes: Processes) -> None:
    """End those that still run in the order in which frames pass them, so that each can finish."""
    for name in ("camera", "monitor", "recorder", "edge", "server"):
        process = processes.running.get(name)
        if process is not None and process.stop():
            raise ProcessError(f"{name} ended with status {process.poll()}:\n{process.tail()}")


def _summary(options: DemoOptions, pids: dict[str, int], interrupted: bool) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((options.out / SUMMARY_FILE).read_text(encoding="utf-8"))
    camera = json.loads((options.out / CAMERA_FILE).read_text(encoding="utf-8"))
    summary = {"source": options.source, **summary, "interrupted": interrupted, "processes": pids}
    frames = summary["frames"]
    counted = {"camera": camera["frames"], "skipped": len(camera["skipped"]), **frames}
    summary["frames"] = counted | {"not_encoded": counted["camera"] - counted["encoded"]}
    summary["skipped"], summary["notes"] = camera["skipped"], camera["notes"]
    return summary
