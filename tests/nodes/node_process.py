# SPDX-License-Identifier: Apache-2.0
"""A node in a process of its own, as a robot runs it, with its log."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

from fs_common.launch_environment import inherited_environment
from fs_common.node_launch import NodeLaunch

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 120.0


class NodeProcess:
    """Start a node by its launch table; ``values`` are launch arguments as text."""

    def __init__(self, node: NodeLaunch, log: Path, **values: str) -> None:
        self.log_path = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                node.command(values),
                cwd=ROOT,
                env=inherited_environment(),
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> str:
        """What the node has said so far."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def wait_ready(self) -> NodeProcess:
        """Wait until the node says that it is ready."""
        deadline = time.monotonic() + PATIENCE_S
        while "ready: " not in self.log:
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.log}"
            assert time.monotonic() < deadline, f"not ready:\n{self.log}"
            time.sleep(0.05)
        return self

    def wait(self) -> int:
        """Wait for its end and return the exit status."""
        return self.process.wait(PATIENCE_S)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(how)
        return self.wait()

    def stop_impatiently(self, how: signal.Signals) -> int:
        """Send a signal again and again, as Ctrl-C, `ros2 launch` and a user do together; return the exit status."""
        deadline = time.monotonic() + PATIENCE_S
        while self.process.poll() is None and time.monotonic() < deadline:
            self.process.send_signal(how)
            time.sleep(0.01)
        return self.wait()

    def kill(self) -> None:
        """End it without mercy, if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE_S)
