# SPDX-License-Identifier: Apache-2.0
"""A frame whose symbols are known: an engine that gives others is not used.

The symbols come from ONNX Runtime on the CPU, run on the ONNX file that the engine is built from, and lie in the
engine's file. Kernels add in another order, so a few symbols next to a rounding edge may differ: see ``LIMITS``.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frankensplit.edge.tensorrt.build import FRAME, SCALE
from frankensplit.edge.tensorrt.profile import Profile
from frankensplit.errors import BundleError, FrankensplitError

LARGEST_HEIGHT, LARGEST_WIDTH = 128, 160  # enough symbols to see a fault, little to compute at each start
MAX_SYMBOLS = 1 << 24


@dataclass(frozen=True)
class Limit:
    """The part of all symbols that may differ, and by how much one may."""

    flips: float
    step: int


LIMITS = {"fp32": Limit(0.005, 1), "fp16": Limit(0.03, 2), "int8": Limit(0.10, 4)}


class EngineWrong(FrankensplitError):
    """An engine does not compute what its model says."""


@dataclass(frozen=True)
class Reference:
    """A frame's size, its symbols int32 ``(1, C, h, w)``, who computed them, and how near an engine must come."""

    height: int
    width: int
    symbols: NDArray[np.int32]
    origin: str
    limit: Limit

    def frame(self) -> NDArray[np.uint8]:
        """Return the frame, uint8 ``(1, H, W, 3)``."""
        return synthetic_frame(self.height, self.width)

    def check(self, found: NDArray[np.int32]) -> None:
        """Compare an engine's symbols; raises EngineWrong."""
        if found.shape != self.symbols.shape:
            raise EngineWrong(f"engine gives symbols of {found.shape}, expected {self.symbols.shape}")
        difference = np.abs(found.astype(np.int64) - self.symbols)
        flips, step = float(np.mean(difference > 0)), int(difference.max(initial=0))
        if flips > self.limit.flips or step > self.limit.step:
            raise EngineWrong(
                f"engine differs from {self.origin} in {flips:.2%} of the symbols, by {step} at most, expected "
                f"{self.limit.flips:.2%} and {self.limit.step}"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the reference for an engine's file."""
        raw = self.symbols.astype("<i4").tobytes()
        return {
            "height": self.height,
            "width": self.width,
            "shape": list(self.symbols.shape),
            "sha256": hashlib.sha256(raw).hexdigest(),
            "symbols": base64.b64encode(zlib.compress(raw, 9)).decode("ascii"),
            "origin": self.origin,
            "flips": self.limit.flips,
            "step": self.limit.step,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Reference:
        """Read what ``to_json`` gave; raises EngineWrong."""
        try:
            count = int(np.prod(value["shape"]))
            if not 0 < count <= MAX_SYMBOLS:
                raise ValueError(f"{count} symbols")
            packed = base64.b64decode(value["symbols"], validate=True)
            raw = zlib.decompressobj().decompress(packed, 4 * count)
            if hashlib.sha256(raw).hexdigest() != value["sha256"]:
                raise ValueError("digest of the symbols")
            symbols = np.frombuffer(raw, "<i4").astype(np.int32).reshape(value["shape"])
            limit = Limit(float(value["flips"]), int(value["step"]))
            return cls(int(value["height"]), int(value["width"]), symbols, str(value["origin"]), limit)
        except (KeyError, TypeError, ValueError, zlib.error) as err:
            raise EngineWrong(f"the engine's file has a bad reference: {err}") from err


def reference_size(profile: Profile) -> tuple[int, int]:
    """Return height and width of the reference frame of an engine."""
    if profile.fixed:
        return profile.height, profile.width
    return min(profile.height, LARGEST_HEIGHT), min(profile.width, LARGEST_WIDTH)


def compute(model_path: Path, profile: Profile, precision: str) -> Reference | None:
    """Return the reference of a model, or None where ONNX Runtime is not installed; raises BundleError."""
    try:
        import onnxruntime as ort
    except (ImportError, OSError):
        return None
    height, width = reference_size(profile)
    options = ort.SessionOptions()
    # The graph runs as written: optimisations would turn int8 into kernels that round differently.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    try:
        session = ort.InferenceSession(str(model_path), options, providers=["CPUExecutionProvider"])
        inputs = {FRAME: synthetic_frame(height, width), SCALE: np.ones(1, np.float32)}
        named = {one.name: inputs[one.name] for one in session.get_inputs()}
        symbols: NDArray[np.int32] = session.run(None, named)[0]
    except Exception as err:  # its many exceptions share no base but Exception
        raise BundleError(f"ONNX Runtime {ort.__version__} cannot run {model_path}: {err}") from err
    return Reference(height, width, symbols, f"onnxruntime {ort.__version__}", limit_of(precision))


def limit_of(precision: str) -> Limit:
    """Return how near an engine of this precision must come."""
    return LIMITS.get(precision, LIMITS["int8"])


def synthetic_frame(height: int, width: int) -> NDArray[np.uint8]:
    """Return a frame, uint8 ``(1, H, W, 3)``, by integers alone: waves, edges, and a little noise."""
    y, x, colour = np.ogrid[:height, :width, :3]
    waves = (x * (3 + colour) + y * (5 - colour)) % 211
    edges = 90 * ((x // 24 + y // 16 + colour) % 2)
    noise = (x * 7919 + y * 104729 + colour * 1299709) % 31
    frame: NDArray[np.uint8] = ((waves // 2 + edges + noise) % 256).astype(np.uint8)[np.newaxis]
    return frame
