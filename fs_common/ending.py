# SPDX-License-Identifier: Apache-2.0
"""End a node's process at a signal: with status 0, soon, and at any moment. Standard library only.

The executables take the signals before they import anything that takes time. A signal never interrupts Python code,
which would leave half-made objects and tracebacks: all threads block it, and one thread waits for it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import NoReturn

# Time for the clean-up: containers are killed 10 s after SIGTERM, and a busy machine is late by seconds.
LEAVE_S = 4.0
SAY_S = 0.5  # time for the last lines: their reader may have stopped


class Ending:
    """The signals of this process; ``asked`` is set by the first one, and later ones do nothing.

    Until ``wake_by`` there is nothing to clean up, and a signal ends the process at once.
    """

    def __init__(self) -> None:
        self.asked = threading.Event()
        self._lock = threading.Lock()
        self._wake: Callable[[], object] | None = None
        self._leave_s = LEAVE_S
        ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN  # the node was started by nohup
        numbers = {signal.SIGINT, signal.SIGTERM} | (set() if ignored else {signal.SIGHUP})
        signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
        threading.Thread(target=self._run, args=(numbers,), name="signals", daemon=True).start()

    def wake_by(self, wake: Callable[[], object] = lambda: None, leave_s: float = LEAVE_S) -> None:
        """Say that there is something to clean up now, and what makes the main thread look at ``asked``.

        ``leave_s`` after the signal the process ends in any case. This waits until the former ``wake`` is through.
        """
        with self._lock:
            self._wake, self._leave_s = wake, leave_s

    def _run(self, numbers: set[signal.Signals]) -> None:
        signal.sigwait(numbers)
        self.asked.set()
        with self._lock:
            if self._wake is None:
                os._exit(0)
            threading.Thread(target=self._end_late, name="late", daemon=True).start()
            self._wake()

    def _end_late(self) -> None:
        time.sleep(self._leave_s)
        names = ", ".join(one.name for one in threading.enumerate() if one.name not in ("late", "signals"))
        late = f"not done {self._leave_s:g} s after the signal, ending without clean-up (threads: {names})"
        saying = threading.Thread(target=lambda: print(late, file=sys.stderr, flush=True), daemon=True)
        saying.start()
        saying.join(SAY_S)
        os._exit(0)


@cache
def take_signals() -> Ending:
    """Take SIGINT, SIGTERM and SIGHUP for the rest of this process; call it in the main thread, before all else."""
    return Ending()


def end_now(status: int) -> NoReturn:
    """End the process after its clean-up: the interpreter's own takes seconds where torch is loaded (seen: 4.5)."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
