# SPDX-License-Identifier: Apache-2.0
"""Compare the speed of our entropy coder with CompressAI's, for the same bytes.

CompressAI's coder takes and gives Python lists, so a call from arrays has to make them: that is the call we are held
to. The ratio to its coder alone, with lists at hand, is beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frankensplit.benchmarks.interleave import interleave
from frankensplit.benchmarks.reference_rans import ReferenceRans
from frankensplit.codec import rans
from frankensplit.codec.tables import Tables
from frankensplit.errors import DataError

CALLS = 5  # the best counts: caches and other processes disturb calls of less than a millisecond
Symbols = NDArray[np.int32]


def coding_speedup(latents: Sequence[Symbols], tables: Tables, repeats: int) -> dict[str, float]:
    """Return how many times faster we encode and decode, from arrays and (``_lists``) from lists; ratios of medians.

    Args:
        latents: int32 ``(C, h, w)``, of several frames.
        tables: the codec's.
        repeats: how often they are gone through.

    Raises:
        RuntimeUnavailable: CompressAI is not installed.
        DataError: the bytes differ.
    """
    coders = _coders(tables)
    samples = interleave(
        list(coders.values()),
        latents,
        lambda coder, symbols: _best_ms(coder(symbols)),
        repeats=repeats,
        what="time entropy coding",
    )
    taken = {name: median(times) for name, times in zip(coders, samples, strict=True)}
    return {
        name: round(taken[f"reference {name}"] / taken[name.partition("_")[0]], 2)
        for name in ("encode", "decode", "encode_lists", "decode_lists")
    }


def _coders(tables: Tables) -> dict[str, Callable[[Symbols], Callable[[], Any]]]:
    """Return for each what makes the timed call of a latent."""
    reference = ReferenceRans(tables)

    def payload_of(symbols: Symbols) -> bytes:
        payload = rans.encode(symbols, tables)
        if payload != reference.encode(*reference.lists(symbols)):
            raise DataError(
                "our entropy coder's bytes differ from CompressAI's: their times cannot be compared"
            )
        return payload

    def decode(symbols: Symbols) -> Callable[[], Any]:
        payload = payload_of(symbols)
        return lambda: rans.decode(payload, symbols.shape, tables)

    def reference_decode(symbols: Symbols) -> Callable[[], Any]:
        payload = payload_of(symbols)
        return lambda: np.array(reference.decode(payload, reference.lists(symbols)[1]), np.int32)

    def reference_decode_lists(symbols: Symbols) -> Callable[[], Any]:
        payload, (_, indexes) = payload_of(symbols), reference.lists(symbols)
        return lambda: reference.decode(payload, indexes)

    def reference_encode_lists(symbols: Symbols) -> Callable[[], Any]:
        lists = reference.lists(symbols)
        return lambda: reference.encode(*lists)

    return {
        "encode": lambda symbols: lambda: rans.encode(symbols, tables),
        "decode": decode,
        "reference encode": lambda symbols: lambda: reference.encode(*reference.lists(symbols)),
        "reference decode": reference_decode,
        "reference encode_lists": reference_encode_lists,
        "reference decode_lists": reference_decode_lists,
    }


def _best_ms(work: Callable[[], Any]) -> float:
    times = []
    for _ in range(CALLS):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return 1e3 * min(times)
