# SPDX-License-Identifier: Apache-2.0
"""Print what context coding saves on a bundle's packets, in real payload bytes and nanoseconds a symbol.

``python tests/codec/measure_contexts.py [BUNDLE]``; data sets below ``FRANKENSPLIT_DATA``. Contexts are fitted to
camvid:train without the frames that street's recipe holds out, and to 60 frames of street:train, as export does.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from frankensplit.bundle import Codec
from frankensplit.codec import decode, decode_in_context, encode, encode_in_context, encode_smaller
from frankensplit.edge.runtimes import RuntimeOptions, open_runtime
from frankensplit.places import DATA_ROOT
from frankensplit.training.data.pools import read_pictures
from frankensplit.training.export.contexts import fit_contexts
from frankensplit.training.recipe import RecipeSource

HELD_OUT = "^0016E5_00[3-9]"
Ints = NDArray[np.int32]


def latents(codec: Codec, source: RecipeSource, every: int) -> Iterator[Ints]:
    """Yield the symbols of each N-th frame of a source."""
    network = open_runtime("onnxruntime", codec.encoder_path, RuntimeOptions(threads=1))
    for rgb in read_pictures(source.model_copy(update={"every": every}), DATA_ROOT):
        yield network(codec.geometry(*rgb.shape[:2]).prepare(rgb)[None])[0].copy()


def measure(bundle: str, every: int = 1) -> dict[str, float]:
    """Fit contexts to each N-th training frame; code each N-th frame of camvid:val both ways."""
    codec = Codec.open(bundle)
    training = [
        RecipeSource(data="camvid:train", share=1, exclude=HELD_OUT),
        RecipeSource(data="street:train", share=1, frames=max(60 // every, 1)),
    ]
    contexts = fit_contexts([one for source in training for one in latents(codec, source, every)])
    frames = list(latents(codec, RecipeSource(data="camvid:val", share=1), every))
    static = [encode(one, codec.tables) for one in frames]
    context = [encode_in_context(one, contexts) for one in frames]
    for one, payload in zip(frames, context, strict=True):
        np.testing.assert_array_equal(decode_in_context(payload, one.shape, contexts), one)
    smaller = [encode_smaller(one, codec.tables, contexts) for one in frames]
    sizes = {
        "static": _mean(static),
        "context": _mean(context),
        "smaller": _mean([one for one, _ in smaller]),
    }
    return {
        **{f"{name}_bytes": size for name, size in sizes.items()},
        "saved": round(1 - sizes["smaller"] / sizes["static"], 4),
        "frames": len(frames),
        "frames_in_context": sum(in_context for _, in_context in smaller),
        **_times(frames, static, context, codec, contexts),
    }


def _mean(payloads: list[bytes]) -> float:
    return round(float(np.mean([len(payload) for payload in payloads])), 1)


def _times(frames, static, context, codec, contexts) -> dict[str, float]:
    middle = len(frames) // 2
    one, tables = frames[middle], codec.tables
    ways: dict[str, Callable[[], object]] = {
        "encode_static": lambda: encode(one, tables),
        "encode_context": lambda: encode_in_context(one, contexts),
        "encode_smaller": lambda: encode_smaller(one, tables, contexts),
        "decode_static": lambda: decode(static[middle], one.shape, tables),
        "decode_context": lambda: decode_in_context(context[middle], one.shape, contexts),
    }
    return {f"{name}_ns": round(1e9 * _best(work) / one.size, 2) for name, work in ways.items()}


def _best(work: Callable[[], object]) -> float:
    times = []
    for _ in range(20):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:2] or ["bundles/street"]), indent=1))
