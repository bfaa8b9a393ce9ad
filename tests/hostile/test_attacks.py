# SPDX-License-Identifier: Apache-2.0
"""Twice 12,000 damaged, truncated, forged and foreign packets, each coder in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from attacks import ATTACKS, SEALED

HERE = Path(__file__).parent
CODERS = ["_rans", "_rans_twin"]
WAYS = ["tables", "contexts"]


@cache
def attacked(coder: str, how: str) -> dict[str, Any]:
    """Counts of what happened; fails on a crash, a hang, or a packet accepted by accident."""
    if coder == "_rans":
        pytest.importorskip("frankensplit.codec._rans", reason="the C coder is not built")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "PYTHONFAULTHANDLER": "1",
    }
    command = [sys.executable, str(HERE / "attacks.py"), coder, how]
    process = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("coder", CODERS)
def test_no_bad_packet_gets_through(coder: str, how: str) -> None:
    counts = attacked(coder, how)["counts"]
    assert sum(counts.values()) > 12_000
    for attack, count in ATTACKS.items():
        rejected, accepted = (counts.get(f"{attack.__name__} {word}", 0) for word in ("rejected", "accepted"))
        assert rejected + accepted > 0.95 * count
        assert accepted == 0 or attack in SEALED


@pytest.mark.parametrize("how", WAYS)
def test_both_coders_say_the_same_to_every_packet(how: str) -> None:
    assert attacked("_rans", how) == attacked("_rans_twin", how)
