# SPDX-License-Identifier: Apache-2.0
"""How processes of this project end: a command at a signal, a child with its parent. Standard library only."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
# Looked up before any fork: a child may not wait for locks of threads that it does not have.
_prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None


class Interrupted(KeyboardInterrupt):
    """A signal asks the command to end; ``number`` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end what runs inside as Ctrl-C does: by an exception, ``Interrupted``.

    After the first signal only Ctrl-C interrupts again, so that a closing terminal, which sends several, does not
    break the clean-up. A signal that was ignored at the start (``nohup``, a job in a script's background) stays so.
    """
    before = {one: signal.getsignal(one) for one in ENDING}
    taken = [one for one, handler in before.items() if handler not in (signal.SIG_IGN, None)]

    def interrupt(number: int, _frame: FrameType | None) -> None:
        for one in taken:
            if one != signal.SIGINT:
                signal.signal(one, signal.SIG_IGN)
        raise Interrupted(number)

    for one in taken:
        signal.signal(one, interrupt)
    try:
        yield
    finally:
        for one in taken:
            signal.signal(one, before[one])


def ends_with_us(how: signal.Signals = signal.SIGTERM) -> Callable[[], None]:
    """Make what a child calls first so that it gets a signal when this process ends, however that ends.

    It is a ``preexec_fn``, or the beginning of a pool's worker. Start children in the main thread: the kernel takes
    the end of the thread that forked for the parent's. Linux only; elsewhere nothing happens.
    """
    return partial(_end_with, os.getpid(), how)


def _end_with(parent: int, how: signal.Signals) -> None:
    if _prctl is None:
        return
    _prctl(PR_SET_PDEATHSIG, int(how))
    if os.getppid() != parent:  # it ended before the call
        os._exit(128 + how)
