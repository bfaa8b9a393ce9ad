# SPDX-License-Identifier: Apache-2.0
"""Packets of the past decode for ever, and the same symbols give the same bytes for ever."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from make_golden import PACKETS

from frankensplit.codec import Contexts, Packet, Tables, decode, decode_in_context, encode, encode_in_context

CASES = sorted(path.name for path in PACKETS.iterdir())


def test_the_golden_cases_are_here() -> None:
    assert {"likely", "outliers", "neighbours"} <= set(CASES)


@pytest.mark.usefixtures("each_coder")
@pytest.mark.parametrize("case", CASES)
def test_golden_packet_decodes_and_is_made_again(case: str) -> None:
    symbols = np.load(PACKETS / case / "symbols.npy")
    data = (PACKETS / case / "packet.bin").read_bytes()
    packet = Packet.from_bytes(data)
    if packet.context_coded:
        contexts = Contexts.load(PACKETS / case / "contexts.npz")
        decoded = decode_in_context(packet.payload, packet.shape, contexts)
        payload = encode_in_context(symbols, contexts)
    else:
        tables = Tables.load(PACKETS / case / "tables.npz")
        decoded = decode(packet.payload, packet.shape, tables)
        payload = encode(symbols, tables)
    np.testing.assert_array_equal(decoded, symbols)
    assert dataclasses.replace(packet, shape=symbols.shape, payload=payload).to_bytes() == data


@pytest.mark.parametrize("case", CASES)
def test_golden_tables_and_contexts_are_saved_to_the_same_bytes(case: str, tmp_path: Path) -> None:
    (file,) = (PACKETS / case).glob("*.npz")
    kind = Contexts if file.stem == "contexts" else Tables
    kind.load(file).save(tmp_path / file.name)
    assert (tmp_path / file.name).read_bytes() == file.read_bytes()
