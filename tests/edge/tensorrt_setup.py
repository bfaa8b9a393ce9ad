# SPDX-License-Identifier: Apache-2.0
"""What the tests of the runtime tensorrt share: models, frames, engines built on fakes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch

from frankensplit.edge.runtimes import RuntimeOptions, open_runtime
from frankensplit.edge.runtimes.tensorrt import Runtime
from frankensplit.edge.tensorrt.ahead import build_engines
from frankensplit.edge.tensorrt.engine_cache import EngineCache, engines_folder
from frankensplit.edge.tensorrt.profile import Profile
from frankensplit.models.encoder import Encoder
from frankensplit.models.onnx_graph import encoder_graph

LARGEST = (64, 96)


@dataclass(frozen=True)
class OneEncoder:
    """Stands for a codec whose encoders of all precisions are one file."""

    path: Path

    def encoder_file(self, precision: str) -> Path:
        return self.path


def frame(height: int = 64, width: int = 96, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (1, height, width, 3), dtype=np.uint8)


def write_levelled_encoder(path: Path, *, half: bool = False) -> Path:
    """Write a real encoder, with an input for the quality level."""
    torch.manual_seed(0)
    encoder = Encoder("nano")
    with torch.no_grad():  # untrained, it would give little but zeros
        list(encoder.modules())[-1].weight.mul_(200)
    onnx.save(encoder_graph(encoder, torch.linspace(-1, 1, encoder.channels), half=half), path)
    return path


def cache_in(folder: Path) -> EngineCache:
    return EngineCache(engines_folder(folder))


def build(model: Path, folder: Path, *profiles: Profile, precision: str = "fp32", **more):
    """Build engines for a model below a folder, by default for frames up to LARGEST."""
    chosen = profiles or (Profile(*LARGEST),)
    return build_engines(OneEncoder(model), [precision], chosen, cache_in(folder), **more)


def open_tensorrt(model: Path, folder: Path, largest=LARGEST, **options) -> Runtime:
    return open_runtime("tensorrt", model, RuntimeOptions(engines=folder, largest=largest, **options))


def by_onnxruntime(model: Path, pixels: np.ndarray, scale: float = 1.0) -> np.ndarray:
    return open_runtime("onnxruntime", model)(pixels, scale)
