# SPDX-License-Identifier: Apache-2.0
"""A process that builds an engine on fakes: ``build_on_fakes.py MODEL FOLDER SECONDS_A_STEP``; prints JSON."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fake_tensorrt import install
from tensorrt_setup import build, frame, open_tensorrt


def main() -> None:
    """Say when the build begins, and at the end who built."""
    model, folder, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    fake = install(pytest.MonkeyPatch())

    def step() -> None:
        print("building", flush=True)
        time.sleep(seconds)

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
