# SPDX-License-Identifier: Apache-2.0
"""Joules of this machine while something runs: RAPL where the kernel tells it, tegrastats on a Jetson.

Both count the whole package or module, idle share and other processes included: compare codecs of one run only.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from frankensplit.processes import ends_with_us

POWERCAP = Path("/sys/class/powercap")
TEGRASTATS_INTERVAL_MS = 50
# "VDD_IN 4532mW/4498mW" on an Orin or Xavier NX, "VDD_IN 3192/3192" on a TX2, "POM_5V_IN 3522/3480" on a Nano:
# now and on average. The other rails are parts of these.
TEGRASTATS_POWER = re.compile(r"\b(?:VDD_IN|POM_5V_IN) (\d+)(?:mW)?/\d+(?:mW)?")


class EnergyMeter(Protocol):
    """Says what a piece of work cost."""

    name: str

    def joules(self, work: Callable[[], None]) -> float | None:
        """Run the work once and return its joules; None where nothing was read."""


class Rapl:
    """Counters of Intel's and AMD's processors, all packages together.

    Args:
        zones: folders with ``energy_uj`` and ``max_energy_range_uj``, at which the counter begins again.
    """

    def __init__(self, zones: list[Path]) -> None:
        self.zones = zones
        self.name = "rapl " + ", ".join(_text(zone / "name") for zone in zones)
        self.ranges = [int(_text(zone / "max_energy_range_uj")) for zone in zones]

    def joules(self, work: Callable[[], None]) -> float:
        """Run the work, which must be shorter than a counter's round of many minutes."""
        before = self._read()
        work()
        after = self._read()
        used = (
            (b - a) % (limit + 1) if b < a else b - a
            for a, b, limit in zip(before, after, self.ranges, strict=True)
        )
        return sum(used) / 1e6

    def _read(self) -> list[int]:
        return [int(_text(zone / "energy_uj")) for zone in self.zones]


class Tegrastats:
    """Mean power of a Jetson's module, read some 20 times a second, times the duration.

    Args:
        program: path of tegrastats.
    """

    name = "tegrastats"

    def __init__(self, program: str) -> None:
        self.program = program

    def joules(self, work: Callable[[], None]) -> float | None:
        """Run the work, which should take a second or more."""
        command = [self.program, "--interval", str(TEGRASTATS_INTERVAL_MS)]
        with tempfile.TemporaryFile("w+") as lines:
            process = subprocess.Popen(
                command, stdout=lines, stderr=subprocess.DEVNULL, preexec_fn=ends_with_us()
            )
            try:
                started = time.perf_counter()
                work()
                seconds = time.perf_counter() - started
            finally:
                process.terminate()
                process.wait()
            lines.seek(0)
            milliwatts = [power for line in lines if (power := parse_tegrastats(line)) is not None]
        return sum(milliwatts) / len(milliwatts) / 1e3 * seconds if milliwatts else None


def parse_tegrastats(line: str) -> int | None:
    """Return the module's input power now, in milliwatts; None for a line that does not tell it."""
    found = TEGRASTATS_POWER.search(line)
    return int(found[1]) if found else None


def open_meter(powercap: Path = POWERCAP) -> EnergyMeter | str:
    """Return this machine's meter, or why there is none."""
    tegrastats = shutil.which("tegrastats")
    if tegrastats:
        return Tegrastats(tegrastats)
    zones = [zone for zone in sorted(powercap.glob("intel-rapl:*")) if _is_package(zone)]
    if not zones:
        return f"not measured: no tegrastats, and no package below {powercap}/intel-rapl:*"
    try:
        meter = Rapl(zones)
        meter.joules(lambda: None)
    except (OSError, ValueError) as err:
        return f"not measured: {err}; let this user read energy_uj, which is the administrator's by default"
    return meter


def _is_package(zone: Path) -> bool:
    """Tell packages from their parts (``intel-rapl:0:0``) and from the whole platform (psys)."""
    return zone.name.count(":") == 1 and _text(zone / "name").startswith("package")


def _text(path: Path) -> str:
    return path.read_text(encoding="ascii").strip()
