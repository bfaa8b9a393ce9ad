# SPDX-License-Identifier: Apache-2.0
"""One picture through each runtime that works: how long it takes, and whether the symbols are the right ones."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from frankensplit.bundle import Codec
from frankensplit.doctor.checks.bundle import open_codec
from frankensplit.doctor.checks.runtimes import options_for
from frankensplit.doctor.finding import Finding, fault, note, ok
from frankensplit.doctor.machine import Machine
from frankensplit.edge.runtimes import Runtime, RuntimeOptions, open_runtime, probe_runtime, runtime_names
from frankensplit.errors import FrankensplitError, RuntimeUnavailable
from frankensplit.manifest import FP32

TITLE = "frames"
ORDER = 100
FOR = ("edge",)
REFERENCE = "onnxruntime"
TIMED = 5
BLOCK = 32

# If a larger share of symbols differs, something is wrong. Shares up to 0.1 %, 1 % and 20 % are normal.
MOST_FLIPS = {FP32: 0.01, "fp16": 0.05}
MOST_FLIPS_ELSE = 0.5


def check(machine: Machine) -> Iterator[Finding]:
    """Run the encoder in each precision on each runtime."""
    codec = open_codec(machine)
    if codec is None:
        return
    options = options_for(machine, codec)
    assert options.largest
    picture = make_picture(*options.largest)
    expected = _expected(codec, picture, options)
    if expected is None:
        yield note("reference", f"{REFERENCE} does not run here: no symbols to compare with")
    for name in runtime_names():
        if probe_runtime(name).problem is None:
            for precision in codec.precisions:
                yield _frame(name, precision, codec, picture, expected, options)


def make_picture(height: int, width: int) -> NDArray[np.uint8]:
    """Return areas of one colour with grain, uint8 ``(1, H, W, 3)``, the same each time; sides multiples of 32."""
    random = np.random.default_rng(0)
    colours = random.integers(20, 236, (height // BLOCK, width // BLOCK, 3))
    grain = random.normal(0, 4, (height, width, 3))
    areas = colours.repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)
    return np.clip(areas + grain, 0, 255).astype(np.uint8)[np.newaxis]


def _expected(codec: Codec, picture: NDArray[np.uint8], options: RuntimeOptions) -> NDArray[np.int32] | None:
    try:
        return open_runtime(REFERENCE, codec.encoder_file(), options)(picture)
    except FrankensplitError:
        return None


def _frame(
    runtime: str,
    precision: str,
    codec: Codec,
    picture: NDArray[np.uint8],
    expected: NDArray[np.int32] | None,
    options: RuntimeOptions,
) -> Finding:
    name = f"{runtime} {precision}"
    try:
        started = perf_counter()
        network = open_runtime(runtime, codec.encoder_file(precision), options)
        symbols = network(picture)
        first_ms = 1e3 * (perf_counter() - started)
        frame_ms = min(_timed(network, picture) for _ in range(TIMED))
    except RuntimeUnavailable as err:
        return note(name, str(err))
    except Exception as err:  # any error at a frame means that this runtime does not work
        return fault(name, f"{type(err).__name__}: {err}", "choose another runtime or precision")
    text = f"{frame_ms:.1f} ms a frame of {picture.shape[2]}x{picture.shape[1]}, the first {first_ms:.0f} with loading"
    figures = {"runtime": runtime, "precision": precision, "frame_ms": frame_ms, "first_ms": first_ms}
    if expected is None:
        return ok(name, text, **figures)
    flips = float(np.mean(symbols != expected)) if symbols.shape == expected.shape else 1.0
    text += f"; {100 * flips:.2f} % of symbols differ from {REFERENCE} {FP32}"
    if flips > MOST_FLIPS.get(precision, MOST_FLIPS_ELSE):
        remedy = "its results are wrong: choose another runtime, and build its engine again"
        return fault(name, text, remedy, flip_rate=flips, **figures)
    return ok(name, text, flip_rate=flips, **figures)


def _timed(network: Runtime, picture: NDArray[np.uint8]) -> float:
    started = perf_counter()
    network(picture)
    return 1e3 * (perf_counter() - started)
