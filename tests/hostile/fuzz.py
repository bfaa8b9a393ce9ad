# SPDX-License-Identifier: Apache-2.0
"""Feed hostile input to the targets for minutes: ``make fuzz``, or ``PYTHONPATH=tests python tests/hostile/fuzz.py``.

Each target runs in a process of its own, so that a crash, a hang and memory without bound are faults like any other.
The C coder is built with AddressSanitizer and UndefinedBehaviorSanitizer for it, where the compiler has them. What
makes a fault is written to a file; ``--replay FILE`` feeds it again, and in ``seeds/TARGET/`` it joins the suite.
"""

from __future__ import annotations

import argparse
import faulthandler
import hashlib
import importlib.util
import os
import resource
import subprocess
import sys
import sysconfig
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, seed, settings

if TYPE_CHECKING:
    from targets import Target

ROOT = Path(__file__).resolve().parents[2]
CODER = "frankensplit.codec._rans"
SANITISED = ("packet", "decoder")  # the targets that reach the C coder
SANITIZERS = [
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
    "-g",
    "-O1",
]
ADDRESS_SPACE = 4 << 30  # bytes: libraries take one GiB, a picture half of one
HANG_S = 60.0  # inputs take milliseconds; this is for a machine that does much else
ROUND = 100  # inputs between two looks at the clock
SETTINGS = settings(
    max_examples=ROUND,
    database=None,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
FAULT = 1


def main() -> int:
    """Fuzz, or replay a file; return 1 if there was a fault."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=5.0, help="for all targets together (default: 5)")
    parser.add_argument("--target", action="append", help="only this one; may be given again")
    parser.add_argument("--out", type=Path, default=Path("fuzz-found"), help="folder for what makes a fault")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="feed one file to the one target given")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--coder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.coder:
        _load_coder(args.coder)
    from targets import TARGETS

    names = args.target or list(TARGETS)
    if not set(names) <= set(TARGETS):
        parser.error(f"targets are {', '.join(TARGETS)}")
    if args.replay and len(names) != 1:
        parser.error("--replay needs the one --target that the file is for")
    args.out.mkdir(parents=True, exist_ok=True)
    if args.child:
        return search(TARGETS[names[0]], 60 * args.minutes, args.out, args.replay, limited=args.coder is None)
    with tempfile.TemporaryDirectory() as scratch:
        coder = build_sanitised(Path(scratch))
        print(f"C coder {'with' if coder else 'without'} sanitizers", flush=True)
        found = [_watch(name, args.minutes / len(names), args.out, args.replay, coder) for name in names]
    return FAULT if any(found) else 0


def build_sanitised(folder: Path) -> Path | None:
    """Build the C coder with sanitizers; None where the compiler cannot, or there is none."""
    made = folder / "_rans.so"
    include, source = sysconfig.get_path("include"), ROOT / "frankensplit" / "codec" / "_rans.c"
    command = ["cc", *SANITIZERS, "-shared", "-fPIC", f"-I{include}", str(source), "-o", str(made)]
    try:
        built = subprocess.run(command, capture_output=True).returncode == 0
        works = (
            built
            and subprocess.run([sys.executable, "-c", "pass"], env=_sanitised(dict(os.environ))).returncode
            == 0
        )
    except OSError:
        return None
    return made if works else None


def _sanitised(environment: dict[str, str]) -> dict[str, str]:
    runtime = subprocess.run(
        ["cc", "-print-file-name=libasan.so"], capture_output=True, text=True
    ).stdout.strip()
    # Python itself leaks a little at its end.
    return {
        **environment,
        "LD_PRELOAD": runtime,
        "ASAN_OPTIONS": "detect_leaks=0:malloc_context_size=1:quarantine_size_mb=16",
        "PYTHONMALLOC": "malloc",
    }


def _load_coder(file: Path) -> None:
    """Let this file be the C coder, before anything imports another."""
    spec = importlib.util.spec_from_file_location(CODER, file)
    assert spec and spec.loader
    sys.modules[CODER] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[CODER])


def _watch(name: str, minutes: float, out: Path, replay: Path | None, coder: Path | None) -> bool:
    """Run a target in a process of its own; say what it found, and whether it found anything."""
    command = [
        sys.executable,
        __file__,
        "--child",
        "--target",
        name,
        "--out",
        str(out),
        "--minutes",
        str(minutes),
    ]
    environment = dict(os.environ)
    if replay:
        command += ["--replay", str(replay)]
    if coder and name in SANITISED:
        command += ["--coder", str(coder)]
        environment = _sanitised(environment)
    ended = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, errors="replace")
    if not ended.returncode:
        return False
    print(f"{ended.stderr[-8000:]}\n{name}: FAULT (status {ended.returncode})")
    last = out / f"{name}.last"
    if last.exists():
        found = last.replace(out / f"{name}-{hashlib.sha256(last.read_bytes()).hexdigest()[:12]}")
        print(f"again: make fuzz TARGET={name} REPLAY={found}", flush=True)
    return True


def search(target: Target, seconds: float, out: Path, replay: Path | None, limited: bool) -> int:
    """Feed the target one file, or its seeds and new inputs until the time is over; return 1 after the first fault.

    The input at hand is in ``TARGET.last`` meanwhile, and remains there where it made a fault.
    """
    if limited:  # a sanitizer reserves terabytes
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    last, count, deadline = out / f"{target.name}.last", 0, time.monotonic() + seconds

    def feed(data: bytes) -> None:
        nonlocal count
        count += 1
        last.write_bytes(data)
        faulthandler.dump_traceback_later(HANG_S, exit=True)
        target.run(data)

    try:
        for path in [replay] if replay else target.seeds:
            feed(path.read_bytes())
        while not replay and time.monotonic() < deadline:
            seed(int.from_bytes(os.urandom(8), "big"))(SETTINGS(given(target.inputs)(feed)))()
    except Exception as error:
        error.__notes__ = []  # hypothesis tells the whole input, which the file holds
        traceback.print_exception(error, limit=-6)
        return FAULT
    finally:
        faulthandler.cancel_dump_traceback_later()
    last.unlink(missing_ok=True)
    print(f"{target.name}: {count} inputs, no fault", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
