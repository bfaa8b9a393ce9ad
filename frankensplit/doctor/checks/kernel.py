# SPDX-License-Identifier: Apache-2.0
"""Settings of the kernel that ROS 2's guide to DDS tuning wants for large messages between machines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import ge, le

from frankensplit.doctor.finding import Finding, note, ok
from frankensplit.doctor.machine import Machine

TITLE = "kernel"
ORDER = 60
FOR = ("edge", "server")

# Latents are small and need none of this; raw images on a network do.
WANTED: dict[str, tuple[Callable[[int, int], bool], int, str]] = {
    "net.core.rmem_max": (ge, 2147483647, "most bytes that a socket may ask for to hold what came in"),
    "net.ipv4.ipfrag_time": (le, 3, "seconds that a broken-up packet keeps its memory when a piece is lost"),
    "net.ipv4.ipfrag_high_thresh": (ge, 134217728, "bytes for packets that are not whole yet"),
}


def check(machine: Machine) -> Iterator[Finding]:
    """Compare each setting."""
    for name, (fits, wanted, meaning) in WANTED.items():
        text = machine.read(f"/proc/sys/{name.replace('.', '/')}")
        if text is None or not text.isdigit():
            yield note(name, f"cannot be read here ({meaning})", f"look at it on the host: sysctl {name}")
        elif fits(int(text), wanted):
            yield ok(name, text)
        else:
            remedy = f"for raw images between machines: sudo sysctl -w {name}={wanted}"
            yield note(name, f"{text}: {meaning}", remedy)
