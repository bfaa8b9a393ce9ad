# SPDX-License-Identifier: Apache-2.0
"""The board: model, JetPack, power mode, Python."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterator

from frankensplit.doctor.finding import Finding, fault, note, ok
from frankensplit.doctor.machine import Machine

TITLE = "machine"
ORDER = 10
RELEASE = "/etc/nv_tegra_release"
JETPACK = {"35": "5", "36": "6", "38": "7", "39": "7"}  # major number of L4T: major number of JetPack
NVPMODEL = "/usr/sbin/nvpmodel"
OLDEST_PYTHON = (3, 10)


def check(machine: Machine) -> Iterator[Finding]:
    """Say what the board is and runs."""
    yield _board(machine)
    yield _jetpack(machine)
    if machine.path(NVPMODEL).exists():
        yield _power(machine)
    yield _python()


def _board(machine: Machine) -> Finding:
    model = machine.read("/proc/device-tree/model") or "computer"
    memory = re.search(r"MemTotal:\s*(\d+) kB", machine.read("/proc/meminfo") or "")
    gib = f", {int(memory[1]) / 2**20:.1f} GiB" if memory else ""
    return ok("board", f"{model}, {platform.machine()}, {os.cpu_count()} cores{gib}")


def _jetpack(machine: Machine) -> Finding:
    text = machine.read(RELEASE)
    jetson = "jetson" in (machine.read("/proc/device-tree/model") or "").lower()
    if text is None and jetson:
        return note(
            "JetPack",
            f"a Jetson without {RELEASE}",
            f"in a container, mount it: --volume {RELEASE}:{RELEASE}:ro",
        )
    if text is None:
        return ok("JetPack", "none: not a Jetson")
    found = re.search(r"R(\d+)\b.*?REVISION:\s*([\d.]+)", text)
    if not found:
        return note("JetPack", f"{RELEASE} says {text.splitlines()[0]!r}, expected R36 ... REVISION: 4.3")
    known = JETPACK.get(found[1])
    if known is None:
        return note(
            "JetPack",
            f"L4T {found[1]}.{found[2]}",
            f"tested are L4T {', '.join(JETPACK)}; watch the frames below",
        )
    return ok("JetPack", f"{known}, L4T {found[1]}.{found[2]}")


def _power(machine: Machine) -> Finding:
    outcome = machine.execute([NVPMODEL, "-q"])
    found = re.search(r"NV Power Mode:\s*(\S+)", outcome.output)
    if not found:
        return note("power mode", f"nvpmodel -q says nothing (status {outcome.status})", "ask it as root")
    if found[1].startswith("MAXN"):
        return ok("power mode", found[1])
    return note("power mode", f"{found[1]}: not the fastest", "for the fastest: sudo nvpmodel -m 0")


def _python() -> Finding:
    text = f"{platform.python_version()}, {sys.executable}"
    if sys.version_info[:2] < OLDEST_PYTHON:
        return fault("Python", text, "use Python 3.10 or later")
    return ok("Python", text)
