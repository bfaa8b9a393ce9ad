# SPDX-License-Identifier: Apache-2.0
"""One thread that always works on the newest frame of each stream."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class NewestWins(Generic[Item]):
    """Work off frames in one thread, a queue of one for each stream.

    A frame that waits when a newer one of its stream comes is dropped. Streams take turns: the one that has
    waited longest is next, so a fast robot cannot starve a slow one.

    Args:
        work: on one frame of a stream.
        name: of the thread.
        hold_s: seconds to wait before the next frame is taken, which may be replaced meanwhile; asked again then,
            and at each ``wake``.
    """

    def __init__(
        self, work: Callable[[str, Item], None], name: str, hold_s: Callable[[], float] = lambda: 0.0
    ) -> None:
        self._work = work
        self._hold_s = hold_s
        self._waiting: dict[str, Item] = {}  # ordered by the arrival of each stream's first waiting frame
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, stream: str, item: Item) -> bool:
        """Offer a frame; return True when one of the stream is dropped: an older one, or after ``close`` this one."""
        with self._changed:
            if self._closing:
                return True
            replaced = stream in self._waiting
            self._waiting[stream] = item
            self._changed.notify()
        return replaced

    def wake(self) -> None:
        """Ask ``hold_s`` again."""
        with self._changed:
            self._changed.notify()

    def close(self, timeout_s: float = 5.0) -> list[str]:
        """Finish the frame at work, end the thread; return the streams whose waiting frame is dropped."""
        with self._changed:
            self._closing = True
            dropped = list(self._waiting)
            self._waiting.clear()
            self._changed.notify()
        self._thread.join(timeout_s)
        return dropped

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._waiting)
                while not self._closing and (seconds := self._hold_s()) > 0:
                    self._changed.wait(None if seconds == math.inf else seconds)
                if self._closing:
                    return
                stream = next(iter(self._waiting))
                item = self._waiting.pop(stream)
            self._work(stream, item)
