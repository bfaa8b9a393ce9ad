# SPDX-License-Identifier: Apache-2.0
"""Feed thousands of bad packets to one coder and print what became of them; run as a process, since C may crash.

Its arguments are the coder and ``tables`` or ``contexts``, which say how the good packets were coded.

Each packet must end in a PacketError. A packet forged with a right checksum may instead be the true packet of other
symbols: then it must give symbols of its shape that encode to its payload, so that nothing is accepted by accident.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
import struct
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
from codec_cases import Ints, random_contexts, random_latent, random_symbols, random_tables

from frankensplit.codec import (
    HEADER_BYTES,
    Contexts,
    Packet,
    Tables,
    decode,
    decode_in_context,
    encode,
    encode_in_context,
    rans,
)
from frankensplit.errors import PacketError

Rng = np.random.Generator
SHAPE = (3, 6, 8)
MAX_SYMBOLS = 4096


def damage(rng: Rng, data: bytes) -> bytes:
    """Flip a bit, overwrite a burst, swap two words, or zero the tail."""
    changed = bytearray(data)
    at = int(rng.integers(len(changed)))
    kind = rng.integers(4)
    if kind == 0:
        changed[at] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        changed[at : at + 8] = rng.bytes(len(changed[at : at + 8]))
    elif kind == 2 and len(changed) >= 8:
        changed = changed[4:8] + changed[:4] + changed[8:]
    else:
        changed[at:] = bytes(len(changed) - at)
    return bytes(changed)


def truncate(rng: Rng, data: bytes) -> bytes:
    return data[: rng.integers(len(data))]


def extend(rng: Rng, data: bytes) -> bytes:
    return data + rng.bytes(int(rng.integers(1, 9)))


def seal(header: bytes, payload: bytes) -> bytes:
    """Give whatever content a right length and checksum."""
    checked = header[:24] + struct.pack("<I", len(payload))
    return checked + struct.pack("<I", zlib.crc32(checked + payload)) + payload


def forge_payload(rng: Rng, data: bytes) -> bytes:
    change = [damage, truncate, extend, lambda rng, payload: rng.bytes(len(payload))][rng.integers(4)]
    return seal(data, change(rng, data[HEADER_BYTES:]))


def forge_header(rng: Rng, data: bytes) -> bytes:
    header = bytearray(data[:HEADER_BYTES])
    at = int(rng.integers(4, 24))
    header[at] = int(rng.integers(256))
    return seal(bytes(header), data[HEADER_BYTES:])


def forge_shape(rng: Rng, data: bytes) -> bytes:
    shapes = [
        (3, 8, 6),
        (3, 6, 9),
        (3, 6, 7),
        (3, 48, 1),
        (2, 9, 8),
        (3, 65535, 65535),
        (65535, 1, 1),
        (3, 36, 36),
    ]
    return seal(data[:18] + struct.pack("<3H", *shapes[rng.integers(len(shapes))]), data[HEADER_BYTES:])


def foreign(rng: Rng, data: bytes) -> bytes:
    heads = [
        b"",
        b"FSP1",
        b"FSP2",
        b"\xff\xd8\xff\xe0",
        b"\x89PNG\r\n\x1a\n",
        b"PK\x03\x04",
        data[:HEADER_BYTES],
    ]
    return heads[rng.integers(len(heads))] + rng.bytes(int(rng.integers(0, 300)))


def of_other_tables(rng: Rng, data: bytes) -> bytes:
    tables = random_tables(rng, SHAPE[0], 20)
    payload = encode(random_symbols(rng, tables, *SHAPE[1:]), tables)
    return dataclasses.replace(Packet.from_bytes(data), payload=payload).to_bytes()


ATTACKS: dict[Callable[[Rng, bytes], bytes], int] = {
    damage: 3000,
    truncate: 1500,
    extend: 500,
    forge_payload: 4000,
    forge_header: 1000,
    forge_shape: 1000,
    foreign: 1500,
    of_other_tables: 500,
}
SEALED = {forge_payload, forge_header, forge_shape, of_other_tables}


Coding = Tables | Contexts


def coded(rng: Rng, how: str) -> tuple[Coding, bytes]:
    """Tables or contexts, and a good packet."""
    coding: Coding
    if how == "contexts":
        coding = random_contexts(rng, SHAPE[0], 20)
        payload = encode_in_context(random_latent(rng, *SHAPE), coding)
    else:
        coding = random_tables(rng, SHAPE[0], 20)
        payload = encode(random_symbols(rng, coding, *SHAPE[1:]), coding)
    return coding, Packet(0, bytes(8), 48, 64, SHAPE, payload, how == "contexts").to_bytes()


def packets(how: str) -> Iterator[tuple[Callable[[Rng, bytes], bytes], bytes, bytes, Coding]]:
    """Attack, good packet, bad packet and what it was coded with, the same in every run."""
    rng = np.random.default_rng(8)
    for attack, count in ATTACKS.items():
        for i in range(count):
            if i % 50 == 0:
                coding, good = coded(rng, how)
            yield attack, good, attack(rng, good), coding


def fate(data: bytes, coding: Coding, sealed: bool) -> str:
    """What the receiver says: the text of the error, or the symbols."""
    try:
        packet = Packet.from_bytes(data)
        symbols = receive(packet, coding)
    except PacketError as error:
        return f"rejected: {error}"
    assert sealed, f"damage got through: {data.hex()}"
    assert symbols.shape == packet.shape
    again = encode(symbols, coding) if isinstance(coding, Tables) else encode_in_context(symbols, coding)
    assert again == packet.payload, f"accepted by accident: {data.hex()}"
    return f"accepted: {symbols.tobytes().hex()}"


def receive(packet: Packet, coding: Coding) -> Ints:
    """Decode as a codec does that has these tables or these contexts only."""
    if packet.context_coded != isinstance(coding, Contexts):
        raise PacketError("coded in the other way")
    if isinstance(coding, Contexts):
        return decode_in_context(packet.payload, packet.shape, coding, MAX_SYMBOLS)
    return decode(packet.payload, packet.shape, coding, MAX_SYMBOLS)


def main(coder: str, how: str) -> None:
    rans._coder = importlib.import_module(f"frankensplit.codec.{coder}")
    counts: Counter[str] = Counter()
    digest = hashlib.sha256()
    for attack, good, bad, coding in packets(how):
        if bad == good:
            continue
        outcome = fate(bad, coding, attack in SEALED)
        digest.update(outcome.encode())
        counts[f"{attack.__name__} {outcome.partition(':')[0]}"] += 1
    print(json.dumps({"counts": counts, "digest": digest.hexdigest()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
