# SPDX-License-Identifier: Apache-2.0
"""Read what a library writes to standard error: only there does libjpeg say that it made up some pixels."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

_ONE = threading.Lock()  # one decoder at a time: standard error belongs to the whole process
# If a process is forked while another thread listens, the child would keep the redirection and the lock for ever.
os.register_at_fork(before=_ONE.acquire, after_in_parent=_ONE.release, after_in_child=_ONE.release)
_MOST = 1 << 16  # bytes that are read back


@contextmanager
def heard(wanted: re.Pattern[bytes]) -> Iterator[list[bytes]]:
    """Yield a list that holds, after the context, the lines of this kind that were written to standard error.

    Other lines, perhaps of other threads, go on to standard error. If it is closed, the list is empty.
    """
    lines: list[bytes] = []
    with _ONE:
        ear = _ear(os.getpid())
        try:
            original = os.dup(2)
        except OSError:
            yield lines
            return
        os.dup2(ear, 2)
        try:
            yield lines
        finally:
            os.dup2(original, 2)
            if os.lseek(ear, 0, os.SEEK_CUR):
                said = os.pread(ear, _MOST, 0).splitlines(keepends=True)
                os.truncate(ear, 0)
                os.lseek(ear, 0, os.SEEK_SET)
                lines += filter(wanted.match, said)
                with suppress(OSError):
                    os.write(original, b"".join(line for line in said if line not in lines))
            os.close(original)


@cache
def _ear(_: int) -> int:
    """Return a file in memory, one per process: a forked process must not write into its parent's."""
    return os.memfd_create("heard")
