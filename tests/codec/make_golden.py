# SPDX-License-Identifier: Apache-2.0
"""Write the golden packets; only ever to add a case, never to change one.

``PYTHONPATH=tests python tests/codec/make_golden.py``

Each folder of ``tests/fixtures/packets`` holds the tables or contexts, the symbols and the packet that they gave when
the case was added. Other bytes for the same symbols are a new format with a new magic.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from codec_cases import Ints, limits, random_contexts, random_latent

from frankensplit.codec import Contexts, Packet, Tables, encode, encode_in_context

PACKETS = Path(__file__).parent.parent / "fixtures" / "packets"
CODEC_ID = bytes.fromhex("676f6c64656e0001")


def likely(rng: np.random.Generator) -> tuple[Tables, Ints]:
    """A latent like a trained encoder's: every symbol in its table, half the channels nearly dead."""
    scales = np.array([0.05, 0.1, 0.2, 0.3, 0.8, 1.5, 3.0, 6.0])
    symbols = np.rint(rng.laplace(0, 1, (8, 12, 15)) * scales[:, None, None]).astype(np.int32)
    lows = np.minimum(symbols.min(axis=(1, 2)), -1)
    counts = [
        (int(low), np.bincount((plane - low).ravel(), minlength=3))
        for low, plane in zip(lows, symbols, strict=True)
    ]
    return Tables.from_counts(counts), symbols


def outliers(rng: np.random.Generator) -> tuple[Tables, Ints]:
    """Narrow tables, offsets of both signs, and outliers of every digit count up to both limits."""
    tables = Tables.from_pmfs([[0.9, 0.1], [0.1, 0.8, 0.1, 0.0], [0.2, 0.2, 0.6]], [0, -(10**6), 10**6])
    far = np.rint(2.0 ** rng.uniform(0, 26, (3, 7, 9)) * rng.choice([-1, 1], (3, 7, 9))).astype(np.int32)
    symbols = tables.offsets[:, None, None] + np.where(rng.random(far.shape) < 0.3, far, 0)
    for channel in range(3):
        symbols[channel, 0, :2] = limits(tables, channel)
    return tables, symbols


def neighbours(rng: np.random.Generator) -> tuple[Contexts, Ints]:
    """Contexts with many classes, outliers among the neighbours, planes of zeros and channels of one table."""
    contexts = random_contexts(rng, channels=9, widest=12)
    while contexts.map.shape[1] < 40 or contexts.tables.channels < 10:
        contexts = random_contexts(rng, channels=9, widest=12)
    symbols = random_latent(rng, 9, 11, 13)
    symbols[2, ::3, ::4] = rng.integers(-(2**26), 2**26, symbols[2, ::3, ::4].shape)
    return contexts, symbols


def write(name: str, coding: Tables | Contexts, symbols: Ints, source_height: int, source_width: int) -> None:
    folder = PACKETS / name
    if folder.exists():
        return
    folder.mkdir(parents=True)
    in_context = isinstance(coding, Contexts)
    payload = encode_in_context(symbols, coding) if in_context else encode(symbols, coding)
    packet = Packet(0, CODEC_ID, source_height, source_width, symbols.shape, payload, in_context)
    coding.save(folder / ("contexts.npz" if in_context else "tables.npz"))
    np.save(folder / "symbols.npy", symbols)
    (folder / "packet.bin").write_bytes(packet.to_bytes())


def main() -> None:
    write("likely", *likely(np.random.default_rng(0)), source_height=90, source_width=120)
    write("outliers", *outliers(np.random.default_rng(0)), source_height=50, source_width=70)
    write("neighbours", *neighbours(np.random.default_rng(0)), source_height=88, source_width=104)


if __name__ == "__main__":
    main()
