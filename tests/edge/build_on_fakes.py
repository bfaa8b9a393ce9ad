# SPDX-License-Identifier: Apache-2.0
"""A process that builds an engine on fakes: ``build_on_fakes.py MODEL FOLDER [GATE]``; prints JSON.

Each step of the build waits until the file GATE is there. A build whose GATE is ``never`` has no end but Ctrl-C.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fake_tensorrt import install
from tensorrt_setup import build, frame, open_tensorrt

NEVER = Path("never")


def main() -> None:
    """Say when the build begins, and at the end who built."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent may have ignored it
    model, folder, *gate = map(Path, sys.argv[1:])
    fake = install(pytest.MonkeyPatch())
    if gate == [NEVER]:
        fake.behaviour.steps = 10**9

    def step() -> None:
        print("building", flush=True)
        time.sleep(0.01)
        while gate and gate != [NEVER] and not gate[0].exists():
            time.sleep(0.01)

    fake.behaviour.at_step = step
    try:
        (built,) = build(model, folder, told=lambda engine, doing, fraction: print(doing, flush=True))
    except KeyboardInterrupt:
        print(json.dumps({"cancelled": True}))
        return
    symbols = open_tensorrt(model, folder)(frame())
    print(json.dumps({"fresh": built.fresh, "builds": len(fake.behaviour.builds), "sum": int(symbols.sum())}))


if __name__ == "__main__":
    main()
