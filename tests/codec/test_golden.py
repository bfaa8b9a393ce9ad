# SPDX-License-Identifier: Apache-2.0
"""Packets of the past decode for ever, and the same symbols give the same bytes for ever."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from make_golden import PACKETS

from frankensplit.codec import Packet, Tables, decode, encode

CASES = sorted(path.name for path in PACKETS.iterdir())


def test_the_golden_cases_are_here() -> None:
    assert {"likely", "outliers"} <= set(CASES)


@pytest.mark.usefixtures("each_coder")
@pytest.mark.parametrize("case", CASES)
def test_golden_packet_decodes_and_is_made_again(case: str) -> None:
    tables = Tables.load(PACKETS / case / "tables.npz")
    symbols = np.load(PACKETS / case / "symbols.npy")
    data = (PACKETS / case / "packet.bin").read_bytes()
    packet = Packet.from_bytes(data)
    np.testing.assert_array_equal(decode(packet.payload, packet.shape, tables), symbols)
    made_again = Packet(
        packet.level,
        packet.codec_id,
        packet.source_height,
        packet.source_width,
        symbols.shape,
        encode(symbols, tables),
    )
    assert made_again.to_bytes() == data


@pytest.mark.parametrize("case", CASES)
def test_golden_tables_are_saved_to_the_same_bytes(case: str, tmp_path: Path) -> None:
    Tables.load(PACKETS / case / "tables.npz").save(tmp_path / "tables.npz")
    assert (tmp_path / "tables.npz").read_bytes() == (PACKETS / case / "tables.npz").read_bytes()
