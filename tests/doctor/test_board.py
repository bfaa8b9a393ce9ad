# SPDX-License-Identifier: Apache-2.0
"""The board's own files say what it is."""

from __future__ import annotations

import pytest

from frankensplit.doctor import FAULT, NOTE, OK
from frankensplit.doctor.checks import board
from frankensplit.doctor.machine import Outcome

ORIN = "NVIDIA Jetson Orin Nano Developer Kit\0"
RELEASE = "# R{} (release), REVISION: {}, GCID: 1, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 01:49:37 UTC 2025\n"


def test_a_computer_is_no_jetson(made_up):
    made_up.write("proc/meminfo", "MemTotal:        8000000 kB\n")
    found = made_up.find(board.check)
    assert "7.6 GiB" in found["board"].text
    assert found["JetPack"].level == OK
    assert "power mode" not in found


@pytest.mark.parametrize(
    ("major", "minor", "text"),
    [(36, "4.3", "6, L4T 36.4.3"), (35, "6.0", "5, L4T 35.6.0"), (39, "2.0", "7, L4T 39.2.0")],
)
def test_a_jetson_is_named(made_up, major, minor, text):
    made_up.write("proc/device-tree/model", ORIN).write(board.RELEASE, RELEASE.format(major, minor))
    found = made_up.find(board.check)
    assert found["board"].text.startswith("NVIDIA Jetson Orin Nano Developer Kit, ")
    assert (found["JetPack"].level, found["JetPack"].text) == (OK, text)


@pytest.mark.parametrize("release", [None, "something else\n", RELEASE.format(99, "1.0")])
def test_an_unknown_jetpack_is_a_note(made_up, release):
    made_up.write("proc/device-tree/model", ORIN)
    if release:
        made_up.write(board.RELEASE, release)
    assert made_up.find(board.check)["JetPack"].level == NOTE


@pytest.mark.parametrize(
    ("output", "level"),
    [("NV Power Mode: MAXN_SUPER\n2\n", OK), ("NV Power Mode: 15W\n0\n", NOTE), ("", NOTE)],
)
def test_the_power_mode_is_named(made_up, output, level):
    made_up.write(board.NVPMODEL, "")
    made_up.programs[board.NVPMODEL] = Outcome(0, output)
    assert made_up.find(board.check)["power mode"].level == level


def test_an_old_python_is_a_fault(made_up, monkeypatch):
    assert made_up.find(board.check)["Python"].level == OK
    monkeypatch.setattr(board, "OLDEST_PYTHON", (4, 0))
    assert made_up.find(board.check)["Python"].level == FAULT
