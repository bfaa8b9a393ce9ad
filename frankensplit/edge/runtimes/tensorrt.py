# SPDX-License-Identifier: Apache-2.0
"""Run the encoder with TensorRT 10.3 to 11.4, on engines that were built ahead.

An engine takes seconds to minutes and gigabytes to build, so this runtime never builds one: if there is none for the
model on this GPU, it refuses and names the command that builds it, ``frankensplit export BUNDLE --tensorrt``.
``probe`` says whether TensorRT and the GPU can be used. Whether an engine is there depends on the model, so ``auto``
learns that when it opens the runtime, and goes on to the next one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from frankensplit.edge.onnx_file import read_encoder_file
from frankensplit.edge.runtimes import Probe, RuntimeOptions
from frankensplit.edge.tensorrt.build import Settings
from frankensplit.edge.tensorrt.built import open_built
from frankensplit.edge.tensorrt.cudart import open_cuda
from frankensplit.edge.tensorrt.engine_cache import EngineCache, engines_folder
from frankensplit.edge.tensorrt.library import journal_of, load_tensorrt, make
from frankensplit.edge.tensorrt.machine import Identity
from frankensplit.errors import RuntimeUnavailable

PREFERENCE = 30


def probe() -> Probe:
    """Say which TensorRT and GPU there are, and whether the one can use the other."""
    versions: dict[str, str] = {}
    try:
        trt = load_tensorrt()
        versions["tensorrt"] = str(trt.__version__)
        cuda = open_cuda()
        runtime, driver = cuda.versions()
        versions["cuda runtime"], versions["cuda driver"] = _cuda_version(runtime), _cuda_version(driver)
        versions["gpu"] = cuda.device_name()
        make(journal_of(trt), trt.Runtime)
    except RuntimeUnavailable as err:
        return Probe(versions, str(err))
    return Probe(versions)


class Runtime:
    """Execute the encoder with TensorRT; see :class:`frankensplit.edge.runtimes.Runtime`."""

    def __init__(self, model_path: Path, options: RuntimeOptions) -> None:
        trt, cuda = load_tensorrt(), open_cuda()
        model = read_encoder_file(model_path, options.largest, options.latent)
        identity = Identity.of(trt, cuda, model, Settings())
        cache = EngineCache(engines_folder(options.engines))
        self._engine = open_built(trt, cuda, model_path, identity, cache, options.largest, options.zero_copy)

    def __call__(self, frame: NDArray[np.uint8], scale: float = 1.0) -> NDArray[np.int32]:
        """Run one frame; it is copied once, into memory that the GPU reads."""
        return self._engine(frame, scale)

    def close(self) -> None:
        """Free what the GPU holds; it is freed too when nothing refers to the runtime."""
        self._engine.close()


def _cuda_version(number: int) -> str:
    """Return 12060 as 12.6."""
    return f"{number // 1000}.{number % 1000 // 10}"
