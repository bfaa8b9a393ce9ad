# SPDX-License-Identifier: Apache-2.0
"""Without the compiled coder the twin serves, in a process that never could import it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from make_golden import PACKETS

USE = """
import sys
if sys.argv[1] == "blocked":
    sys.modules["frankensplit.codec._rans"] = None
from frankensplit.codec import IMPLEMENTATION, Packet, Tables, decode, encode
folder = sys.argv[2]
tables = Tables.load(folder + "/tables.npz")
packet = Packet.from_bytes(open(folder + "/packet.bin", "rb").read())
assert encode(decode(packet.payload, packet.shape, tables), tables) == packet.payload
print(IMPLEMENTATION)
"""


def implementation(extension: str) -> str:
    command = [sys.executable, "-c", USE, extension, str(PACKETS / "outliers")]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def test_the_twin_serves_where_the_extension_is_missing() -> None:
    assert implementation("blocked") == "python"


def test_the_extension_serves_where_it_is_built() -> None:
    pytest.importorskip("frankensplit.codec._rans", reason="the C coder is not built")
    assert implementation("free") == "c"
