# SPDX-License-Identifier: Apache-2.0
"""Peak memory of the robot's part of a codec, in a process of its own.

Counted is the highest resident memory of a process that reads two frames, opens the codec and encodes them, less that
of one that has imported numpy and read the same two frames. So libraries, weights, code and work space all count, at
the robot; decoding does not, except for codecs that load both halves at once. Linux only (``VmHWM``: ``ru_maxrss``
would begin with the memory of the process that started this one).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from frankensplit.import_order import python_module
from frankensplit.processes import ends_with_us

if TYPE_CHECKING:
    from frankensplit.benchmarks.server import Server

STATUS = Path("/proc/self/status")
FRAMES = 2


@dataclass(frozen=True)
class Job:
    """What the process is to do; without a bundle nothing after reading the frames."""

    frames: str
    bundle: str | None = None
    codec: str = ""
    quality: int | None = None
    threads: int = 1


class MemoryMeter:
    """Measures codecs on the first frames of a set.

    Args:
        frames: uint8 RGB ``(H, W, 3)`` of one size.
        bundle: folder of the bundle.
        threads: CPU threads of the codecs.
    """

    def __init__(self, frames: list[NDArray[np.uint8]], bundle: Path, threads: int) -> None:
        self.bundle, self.threads = bundle, threads
        self.pictures = np.stack([frames[number % len(frames)] for number in range(FRAMES)])
        self.baseline: int | None = None

    def peak_mb(self, codec: str, quality: int | None) -> float | None:
        """Return the peak in 10**6 bytes; None where this system does not tell it or the codec does not run."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "frames.npy"
            np.save(path, self.pictures)
            if self.baseline is None:
                self.baseline = _run(Job(str(path)))
            peak = _run(Job(str(path), str(self.bundle), codec, quality, self.threads))
        if peak is None or self.baseline is None:
            return None
        return (peak - self.baseline) / 1e6


def _run(job: Job) -> int | None:
    """Do a job in a new process and return its peak in bytes."""
    command = python_module("frankensplit.benchmarks.memory", json.dumps(asdict(job)))
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, preexec_fn=ends_with_us())
    lines = finished.stdout.split()
    return int(lines[-1]) if finished.returncode == 0 and lines else None


def _encode(job: Job, frames: NDArray[np.uint8]) -> None:
    from frankensplit.benchmarks.codecs import open_subject
    from frankensplit.bundle import Bundle
    from frankensplit.evaluation.rivals import Options

    assert job.bundle is not None
    bundle = Bundle.open(job.bundle)

    def make_server() -> Server:
        from frankensplit.benchmarks.server import Server

        return Server(bundle, threads=job.threads)

    subject = open_subject(bundle, job.codec, job.quality, Options(threads=job.threads), make_server)
    for frame in frames:
        subject.encode(frame)


def _peak_bytes() -> int | None:
    found = re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text(encoding="ascii")) if STATUS.exists() else None
    return int(found[1]) * 1024 if found else None


def main(argument: str) -> None:
    """Do the job given as JSON; print the peak in bytes."""
    job = Job(**json.loads(argument))
    frames = np.load(job.frames)
    if job.bundle is not None:
        _encode(job, frames)
    peak = _peak_bytes()
    if peak is not None:
        print(peak)


if __name__ == "__main__":
    main(sys.argv[1])
