# SPDX-License-Identifier: Apache-2.0
"""Keep standard error readable: a library that repeats itself there is heard, but not on every frame.

libjpeg and libpng write a line for each damaged picture, past Python and past every logger, and nothing in OpenCV turns
that off. So everything that goes to standard error goes through a pipe to a small process, this file run as a script,
which passes it on. A process, since a thread of the node could wait for the interpreter while the interpreter waits for
the full pipe, and since the last words of a node that crashes must come through. It ends when the node has ended.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

MAX_LINE = 4096  # bytes of a line that are passed on: our own messages have fewer
BURST = 10.0  # lines alike that are passed on at once: a traceback repeats some
ALIKE_HZ = 1.0  # and then so many a second, as of our own warnings
KINDS = 1000  # most kinds of line that are told apart; a library has tens
KIND_BYTES = 64  # a line's kind is its beginning of this size, without digits
MAX_UNENDED = 1 << 20  # bytes that are kept of a line whose end has not come
WAIT_S = 1.0  # time for the last lines at the end
_NUMBERS = re.compile(rb"0x[0-9a-fA-F]+|[0-9]+")


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Send this process's standard error through a process that bounds it, until the end of the context."""
    sys.stderr.flush()
    original = os.dup(2)
    if os.isatty(original):
        # ROS would ask the pipe whether it shows colours.
        os.environ.setdefault("RCUTILS_COLORIZED_OUTPUT", "1")
    command = [sys.executable, "-I", "-S", __file__]
    # A session of its own: Ctrl-C is for the node, whose last words are still to come.
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=original, stderr=original, start_new_session=True
    )
    assert process.stdin is not None
    os.dup2(process.stdin.fileno(), 2)
    process.stdin.close()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(original, 2)
        os.close(original)
        # A child of ours may still have the pipe, and go on to use it.
        with suppress(subprocess.TimeoutExpired):
            process.wait(WAIT_S)


class Throttle:
    """Pass lines on; of those that differ in numbers only, ten at once and then one a second, with the count.

    Args:
        write: what takes the lines that are passed on.
        clock: monotonic seconds.
    """

    def __init__(self, write: Callable[[bytes], object], clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        # Allowance, when, held back.
        self._kinds: OrderedDict[bytes, tuple[float, float, int]] = OrderedDict()

    def line(self, line: bytes) -> None:
        """Take a line without its end."""
        kind, now = _NUMBERS.sub(b"#", line[: 2 * KIND_BYTES])[:KIND_BYTES], self._clock()
        allowance, before, held = self._kinds.pop(kind, (BURST, now, 0))
        allowance = min(BURST, allowance + (now - before) * ALIKE_HZ)
        passed = allowance >= 1
        self._kinds[kind] = (allowance - passed, now, 0 if passed else held + 1)
        if passed:
            self._write(_marked(line, held) + b"\n")
        if len(self._kinds) > KINDS:
            self._kinds.popitem(last=False)

    def end(self) -> None:
        """Say what was held back."""
        held = sum(count for _, _, count in self._kinds.values())
        if held:
            self._write(b"(%d lines like others above were left out)\n" % held)


def _marked(line: bytes, held: int) -> bytes:
    cut = line[:MAX_LINE] + (b" ... %d bytes more" % (len(line) - MAX_LINE)) * (len(line) > MAX_LINE)
    return cut + (b" (%d more like this were left out)" % held) * (held > 0)


def main() -> None:
    """Pass standard input on until its end; a line that does not end is cut, not stored."""
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)
    out, rest = open(1, "wb", closefd=False), b""  # noqa: SIM115  # a descriptor; it is there to the end
    throttle = Throttle(out.write)
    while data := os.read(0, 1 << 16):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            throttle.line(line)
        if len(rest) > MAX_UNENDED:
            throttle.line(rest)
            rest = b""
        out.flush()
    if rest:
        throttle.line(rest)
    throttle.end()
    out.flush()


if __name__ == "__main__":
    main()
