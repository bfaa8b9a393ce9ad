# SPDX-License-Identifier: Apache-2.0
"""Start nodes as processes of their own, wait until they are ready, end them in order. Imports no ROS."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

from frankensplit.errors import FrankensplitError, RuntimeUnavailable
from frankensplit.import_order import without_empty_entries
from frankensplit.places import share_folders
from frankensplit.processes import ENDING, ends_with_us
from fs_common.launch_environment import inherited_environment, profile_environment
from fs_common.node_launch import NodeLaunch

if TYPE_CHECKING:
    from typing_extensions import Self

READY = "ready: "
PATIENCE_S = 300.0  # a busy machine takes minutes to import torch and load networks
TOLD_EACH_S = 20.0
LEAVE_S = 60.0
TAIL_LINES = 12


class ProcessError(FrankensplitError):
    """A node could not start, or ended before its time."""


class Process:
    """One node; its log is a file, its standard output goes where ``output`` says."""

    def __init__(
        self,
        node: NodeLaunch,
        values: Mapping[str, str],
        log: Path,
        environment: Mapping[str, str],
        output: IO[str],
    ) -> None:
        self.name, self.log_path = node.executable, log
        with log.open("wb") as file:
            # A session of its own: Ctrl-C reaches the runner alone, which ends the nodes in order.
            self._popen = subprocess.Popen(
                node.command(values),
                env=dict(environment),
                stdout=output,
                stderr=file,
                start_new_session=True,
                preexec_fn=partial(_begin, ends_with_us()),
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._popen.pid

    def poll(self) -> int | None:
        """Return the exit status, or None while it runs."""
        return self._popen.poll()

    def ready(self) -> bool:
        """Tell whether the node has said that it is ready."""
        return READY in self._log()

    def require_running(self) -> None:
        """Raise ProcessError with the end of the log when the process has ended."""
        if self.poll() is not None:
            raise ProcessError(f"{self.name} ended with status {self.poll()}:\n{self.tail()}")

    def tail(self) -> str:
        """Return the last lines of the log."""
        return "\n".join(self._log().splitlines()[-TAIL_LINES:])

    def ask_to_end(self) -> None:
        """Send SIGINT; a node takes the first one only."""
        if self.poll() is None:
            self._popen.send_signal(signal.SIGINT)

    def stop(self) -> int:
        """Send SIGINT, wait, and be firm after a minute; return the exit status."""
        self.ask_to_end()
        try:
            return self._popen.wait(LEAVE_S)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            return self._popen.wait()

    def _log(self) -> str:
        return self.log_path.read_text(encoding="utf-8", errors="replace")


class Processes:
    """Nodes as processes on a ROS domain of their own; leaving the context ends them all.

    Args:
        logs: folder of their logs.
        profile: a Fast DDS profile; each node takes the one of its own beside it.
        output: where their standard output goes.
    """

    def __init__(self, logs: Path, profile: Path, output: IO[str] = sys.stderr) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self._logs, self._output = logs, output
        self._environment, self._profile = demo_environment(profile), profile
        self.running: dict[str, Process] = {}

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End what still runs, all at once."""
        for process in self.running.values():
            process.ask_to_end()
        for process in reversed(self.running.values()):
            process.stop()

    def start(self, node: NodeLaunch, **values: str) -> Process:
        """Start a node; ``values`` are launch arguments as text."""
        log = self._logs / f"{node.executable}.log"
        own = profile_environment(self._profile.with_name(node.dds_profile))
        process = Process(node, values, log, self._environment | own, self._output)
        self.running[node.executable] = process
        return process

    def wait_ready(self) -> None:
        """Wait until all have said that they are ready.

        Raises:
            ProcessError: one ended, or is not ready after ``PATIENCE_S``.
        """
        begun = time.monotonic()
        tell_at = begun + TOLD_EACH_S
        while late := next((one for one in self.running.values() if not one.ready()), None):
            self.require_running()
            waited_s = time.monotonic() - begun
            if waited_s > PATIENCE_S:
                told = late.tail().strip() or "it has said nothing yet; is the machine busy?"
                raise ProcessError(f"{late.name} is not ready after {PATIENCE_S:.0f} s:\n{told}")
            if begun + waited_s > tell_at:
                print(f"{late.name} is still loading ({waited_s:.0f} s)", file=sys.stderr)
                tell_at += TOLD_EACH_S
            time.sleep(0.05)

    def wait_for(self, name: str) -> int:
        """Wait for one to end while the others run, and return its exit status; ProcessError as above."""
        others = [process for key, process in self.running.items() if key != name]
        while self.running[name].poll() is None:
            for process in others:
                process.require_running()
            time.sleep(0.05)
        return self.running[name].poll() or 0

    def require_running(self) -> None:
        """Raise ProcessError when one has ended."""
        for process in self.running.values():
            process.require_running()


def _begin(end_with_parent: Callable[[], None]) -> None:
    end_with_parent()
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)  # a signal waits until the node, once imported, takes it


def demo_environment(profile: Path) -> dict[str, str]:
    """Return the nodes' environment: a domain of their own, this machine only, whole images by shared memory."""
    environment = inherited_environment()
    private = {
        "ROS_DOMAIN_ID": str(1 + os.getpid() % 100),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "PYTHONUNBUFFERED": "1",
    }
    if environment.get("ROS_DISTRO") == "humble":
        private["ROS_LOCALHOST_ONLY"] = "1"  # the only name that Humble knows
    return {**without_empty_entries(environment), **profile_environment(profile), **private}


def fast_dds_profile() -> Path:
    """Return the profile whose shared memory holds whole images, from the repository or the installation."""
    places = [folder / "config" / "fastdds.xml" for folder in share_folders()]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        looked = ", ".join(str(place) for place in places)
        raise RuntimeUnavailable(
            f"no Fast DDS profile at {looked}: run `colcon build`, or run from the repository"
        )
    return found
