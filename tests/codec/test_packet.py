# SPDX-License-Identifier: Apache-2.0
"""The wire format, byte by byte, and what it refuses."""

from __future__ import annotations

import array
import dataclasses
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frankensplit.codec import HEADER_BYTES, Packet
from frankensplit.errors import PacketError

PACKET = Packet(3, b"\x01\x02\x03\x04\x05\x06\x07\x08", 360, 480, (48, 46, 60), b"payload!")
DATA = PACKET.to_bytes()


def forged(offset: int, content: bytes) -> bytes:
    """PACKET with some bytes of the header changed and the checksum made right again."""
    data = bytearray(DATA)
    data[offset : offset + len(content)] = content
    data[28:32] = struct.pack("<I", zlib.crc32(data[:28] + data[32:]))
    return bytes(data)


def test_bytes_are_those_of_the_specification() -> None:
    header = bytes.fromhex("46535031 00 03 0102030405060708 6801 e001 3000 2e00 3c00 08000000")
    checksum = struct.pack("<I", zlib.crc32(header + b"payload!"))
    assert header + checksum + b"payload!" == DATA
    assert HEADER_BYTES == len(header + checksum) == 32


def test_bit_0_of_the_flags_says_that_the_payload_is_context_coded() -> None:
    packet = dataclasses.replace(PACKET, context_coded=True)
    assert packet.to_bytes() == forged(4, b"\x01")
    assert Packet.from_bytes(forged(4, b"\x01")) == packet


sizes = st.integers(1, 65535)


@given(
    st.builds(
        Packet,
        st.integers(0, 255),
        st.binary(min_size=8, max_size=8),
        sizes,
        sizes,
        st.tuples(sizes, sizes, sizes),
        st.binary(max_size=64),
        st.booleans(),
    )
)
def test_any_packet_round_trips(packet: Packet) -> None:
    assert Packet.from_bytes(packet.to_bytes()) == packet


@pytest.mark.parametrize(
    "wrap",
    [bytearray, memoryview, lambda data: array.array("B", data), lambda data: np.frombuffer(data, np.uint8)],
)
def test_any_buffer_is_read(wrap: Any) -> None:
    assert Packet.from_bytes(wrap(DATA)) == PACKET


def test_a_packet_does_not_hold_on_to_the_buffer() -> None:
    buffer = bytearray(DATA)
    packet = Packet.from_bytes(buffer)
    buffer[:] = bytes(len(buffer))
    assert packet == PACKET


def test_every_truncation_is_refused() -> None:
    for length in range(len(DATA)):
        with pytest.raises(PacketError, match=r"cut off|damaged"):
            Packet.from_bytes(DATA[:length])


def test_every_flipped_bit_is_refused() -> None:
    for bit in range(8 * len(DATA)):
        data = bytearray(DATA)
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(PacketError, match=r"not a packet|damaged"):
            Packet.from_bytes(data)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (DATA + b"\0", "payload has 9 bytes, its header declares 8"),
        (b"FSP2" + DATA[4:], "begins with b'FSP2', expected b'FSP1'"),
        (b"\xff\xd8\xff\xe0" + bytes(60), "it is not a packet"),
        (forged(4, b"\x02"), "flags 0x02 are unknown"),
        (forged(4, b"\x81"), "flags 0x81 are unknown"),
        (forged(4, b"\x03"), "flags 0x03 are unknown"),
        (forged(14, b"\0\0"), "source 0x480 .* out of range"),
        (forged(16, b"\0\0"), "source 360x0 .* out of range"),
        (forged(18, b"\0\0"), r"latent \(0, 46, 60\) is out of range"),
        (forged(22, b"\0\0"), r"latent \(48, 46, 0\) is out of range"),
        (forged(24, b"\xff\xff\xff\xff"), "payload has 8 bytes, its header declares 4294967295"),
        (forged(24, b"\0\0\0\0"), "payload has 8 bytes, its header declares 0"),
    ],
)
def test_each_broken_rule_is_named(data: bytes, text: str) -> None:
    with pytest.raises(PacketError, match=text):
        Packet.from_bytes(data)


@pytest.mark.parametrize(
    "change",
    [
        {"level": -1},
        {"level": 256},
        {"codec_id": b"1234567"},
        {"source_height": 0},
        {"source_width": 65536},
        {"shape": (1, 1)},
        {"shape": (1, 65536, 1)},
        {"shape": (0, 1, 1)},
    ],
)
def test_a_packet_that_could_not_be_written_is_refused_when_made(change: dict[str, Any]) -> None:
    with pytest.raises(PacketError):
        dataclasses.replace(PACKET, **change)
