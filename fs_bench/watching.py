# SPDX-License-Identifier: Apache-2.0
"""What a watcher and the one who measures tell each other by files: whether to listen, and what was seen.

No ROS import. Times are nanoseconds of the machine's monotonic clock, which all its processes share.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

EVENTS, LISTEN = "events.txt", "listen"


@dataclass(frozen=True)
class Event:
    """``listening``, ``deaf`` or ``packet``; the number of the next frame, or of the packet's; when; its bytes."""

    kind: str
    frame: int
    at_ns: int
    packet_bytes: int = 0


class EventWriter:
    """Write events to a folder, each as soon as it comes."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / EVENTS).open("a", encoding="utf-8", buffering=1)

    def add(self, kind: str, frame: int, packet_bytes: int = 0) -> None:
        """Keep one event of now."""
        self._file.write(f"{kind} {frame} {time.monotonic_ns()} {packet_bytes}\n")


def read_events(folder: Path) -> list[Event]:
    """Read the events so far."""
    path = folder / EVENTS
    *lines, _unfinished = (path.read_text(encoding="utf-8") if path.exists() else "").split("\n")
    words = [line.split() for line in lines]
    return [Event(kind, *map(int, numbers)) for kind, *numbers in words]


def may_listen(folder: Path) -> bool:
    """Tell whether the watcher shall listen to packets."""
    return (folder / LISTEN).exists()


def listen(folder: Path, wanted: bool) -> None:
    """Let the watcher listen, or stop it; it looks once a frame."""
    if wanted:
        (folder / LISTEN).touch()
    else:
        (folder / LISTEN).unlink(missing_ok=True)
