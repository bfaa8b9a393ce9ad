# SPDX-License-Identifier: Apache-2.0
"""Run the edge node behind a camera, over DDS, and look at its process from outside. Linux only. No ROS import."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fs_bench.launch_table import WATCHER
from fs_bench.watching import Event, listen, read_events
from fs_common.processes import Process, ProcessError, Processes, fast_dds_profile
from fs_edge_node.launch_table import EDGE

SETTLE_S = 1.5  # the node learns within this time that nobody listens any more
PATIENCE_S = 60.0
POLL_S = 0.005
BUDGET = 0.5  # share of the bit rate that the node sends without a bound
WINDOW_S = 5.0  # the node holds a budget over this time
STEP_S = 0.2  # distance of two windows


@dataclass(frozen=True)
class Watch:
    """How long to look.

    Args:
        frames: the camera's, uint8 RGB ``(N, H, W, 3)``; they begin again after the last.
        rate_hz: the camera's rate.
        packets: before memory is read.
        idle_s: seconds without a subscriber.
        budget_s: seconds under a budget, after a first window.
    """

    frames: NDArray[np.uint8]
    rate_hz: float = 30.0
    packets: int = 60
    idle_s: float = 10.0
    budget_s: float = 20.0


@dataclass(frozen=True)
class Seen:
    """What was seen of one edge process.

    Args:
        rss_mb: resident memory after the packets, 10**6 bytes, libraries and shared memory of DDS included.
        pss_mb: the same, what is shared with other processes divided among them.
        first_packet_s: from the start of the process to the first packet at its subscriber.
        first_packet_cpu_s: processor time of the process until then, which other processes lengthen less.
        busy_cpu_percent: of one core, while packets flow.
        idle_cpu_percent: of one core, while the camera goes on and nobody listens.
        wake_frames: from the first frame that the camera sent after a subscriber came to the first that was a packet,
            discovery by DDS included.
        target_kbps: half of the kilobits a second that it sends without a bound, which it was then started with.
        held_kbps: what it sent then, on average.
        budget_off_percent: how far the worst window of 5 s lay from the target, as packets came to the subscriber.
    """

    rss_mb: float
    pss_mb: float
    first_packet_s: float
    first_packet_cpu_s: float
    busy_cpu_percent: float
    idle_cpu_percent: float
    wake_frames: float
    target_kbps: float
    held_kbps: float
    budget_off_percent: float


def watch_edge(bundle: Path, precision: str, watch: Watch, folder: Path) -> Seen:
    """Start the node twice, so that files and bytecode are in caches, and watch the second one; then a third, with a
    budget.

    Args:
        bundle: folder of a bundle or codec.
        precision: of its encoder.
        watch: how long to look.
        folder: an empty folder, for logs and what the processes tell each other.

    Raises:
        ProcessError: a process failed; the text holds the end of its log.
    """
    frames = folder / "frames.npy"
    np.save(frames, watch.frames)
    values = {"bundle": str(bundle), "precision": precision}
    with Processes(folder, fast_dds_profile(), sys.stderr) as processes:
        told = {"frames": str(frames), "rate_hz": str(watch.rate_hz), "folder": str(folder)}
        processes.start(WATCHER, **told)
        processes.start(EDGE, **values)
        processes.wait_ready()
        processes.running.pop(EDGE.executable).stop()
        listen(folder, True)
        watcher = _Watcher(processes, folder)
        watcher.until(lambda: watcher.seen("listening"), "the watcher to listen")
        started_ns = time.monotonic_ns()
        figures = _look(watcher, processes.start(EDGE, **values), started_ns, watch)
        target_kbps = round(BUDGET * _kbps(watcher.seen("packet")[: watch.packets]), 1)
        processes.running.pop(EDGE.executable).stop()
        begun = len(watcher.seen("packet"))
        processes.start(EDGE, **values, target_kbps=str(target_kbps))
        watcher.until(lambda: len(watcher.seen("packet")) > begun, "a packet of the node with a budget")
        time.sleep(WINDOW_S + watch.budget_s)
        processes.require_running()
        return Seen(**figures, **_budget(watcher.seen("packet")[begun:], target_kbps))


class _Watcher:
    """The watcher's events, waited for."""

    def __init__(self, processes: Processes, folder: Path) -> None:
        self._processes, self._folder = processes, folder

    def seen(self, kind: str) -> list[Event]:
        return [event for event in read_events(self._folder) if event.kind == kind]

    def until(self, reached: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not reached():
            self._processes.require_running()
            if time.monotonic() > deadline:
                logs = "\n".join(process.tail() for process in self._processes.running.values())
                raise ProcessError(f"waited {PATIENCE_S:.0f} s for {what}:\n{logs}")
            time.sleep(POLL_S)

    def listen(self, wanted: bool) -> Event:
        """Let it listen or not; return the event that says so."""
        kind = "listening" if wanted else "deaf"
        before = len(self.seen(kind))
        listen(self._folder, wanted)
        self.until(lambda: len(self.seen(kind)) > before, f"the watcher to be {kind}")
        return self.seen(kind)[-1]


def _look(watcher: _Watcher, edge: Process, started_ns: int, watch: Watch) -> dict[str, Any]:
    watcher.until(lambda: watcher.seen("packet"), "a packet")
    first_packet_cpu_s, busy = _processor_s(edge.pid), _Share(edge.pid)
    watcher.until(lambda: len(watcher.seen("packet")) >= watch.packets, f"{watch.packets} packets")
    busy_percent = busy.percent()
    rss_mb, pss_mb = _resident_mb(edge.pid), _proportional_mb(edge.pid)
    watcher.listen(False)
    time.sleep(SETTLE_S)
    idle = _Share(edge.pid)
    time.sleep(watch.idle_s)
    idle_percent, packets = idle.percent(), len(watcher.seen("packet"))
    woken = watcher.listen(True)
    watcher.until(lambda: len(watcher.seen("packet")) > packets, "a packet for the new subscriber")
    return {
        "rss_mb": round(rss_mb, 1),
        "pss_mb": round(pss_mb, 1),
        "first_packet_s": round((watcher.seen("packet")[0].at_ns - started_ns) / 1e9, 3),
        "first_packet_cpu_s": round(first_packet_cpu_s, 2),
        "busy_cpu_percent": round(busy_percent, 2),
        "idle_cpu_percent": round(idle_percent, 2),
        "wake_frames": watcher.seen("packet")[packets].frame - woken.frame,
    }


def _budget(packets: Sequence[Event], target_kbps: float) -> dict[str, float]:
    """Judge the windows of a node that was given a budget; the first, in which it learns, does not count."""
    settled = [packet for packet in packets if packet.at_ns >= packets[0].at_ns + 1e9 * WINDOW_S]
    times_s = np.array([packet.at_ns for packet in settled]) / 1e9
    kilobits = np.array([packet.packet_bytes for packet in settled]) / 125
    windows = max(1, int((times_s[-1] - times_s[0] - WINDOW_S) / STEP_S))
    starts = times_s[0] + STEP_S * np.arange(windows)
    rates = [kilobits[(times_s >= start) & (times_s < start + WINDOW_S)].sum() / WINDOW_S for start in starts]
    return {
        "target_kbps": target_kbps,
        "held_kbps": round(_kbps(settled), 1),
        "budget_off_percent": round(100 * float(np.abs(np.array(rates) / target_kbps - 1).max()), 2),
    }


def _kbps(packets: Sequence[Event]) -> float:
    """Kilobits a second of packets, from the first to the last."""
    return sum(packet.packet_bytes for packet in packets[1:]) * 8e6 / (packets[-1].at_ns - packets[0].at_ns)


class _Share:
    """The share of one core that a process takes from now on."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._began_s, self._used_s = time.monotonic(), _processor_s(pid)

    def percent(self) -> float:
        return 100 * (_processor_s(self._pid) - self._used_s) / max(time.monotonic() - self._began_s, 1e-9)


def _processor_s(pid: int) -> float:
    """Return the processor time of a process so far; its ticks are 10 ms."""
    words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def _resident_mb(pid: int) -> float:
    return _kilobytes(Path(f"/proc/{pid}/status"), "VmRSS") * 1024 / 1e6


def _proportional_mb(pid: int) -> float:
    return _kilobytes(Path(f"/proc/{pid}/smaps_rollup"), "Pss") * 1024 / 1e6


def _kilobytes(path: Path, key: str) -> int:
    found = re.search(rf"^{key}:\s+(\d+) kB", path.read_text(encoding="ascii"), re.MULTILINE)
    if found is None:
        raise ProcessError(f"{path} has no {key}: memory is read on Linux only")
    return int(found[1])
