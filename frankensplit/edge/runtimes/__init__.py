# SPDX-License-Identifier: Apache-2.0
"""Runtimes that execute the encoder, by name; a new one is one file and one line in ``RUNTIMES``."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from frankensplit.errors import RuntimeUnavailable

RUNTIMES: dict[str, str] = {
    "onnxruntime": "frankensplit.edge.runtimes.onnxruntime:OnnxRuntime",
    "onnxruntime-cuda": "frankensplit.edge.runtimes.onnxruntime:OnnxCudaRuntime",
}


class Runtime(Protocol):
    """Execute one encoder. Used from one thread at a time; what it returns belongs to the caller."""

    def __init__(self, model_path: Path, threads: int) -> None:
        """Load a model and be ready to run it with at most ``threads`` CPU threads.

        Raises:
            RuntimeUnavailable: this machine lacks the library or the device; nothing else is used silently.
            BundleError: the file is no encoder.
        """

    def __call__(self, frame: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Turn uint8 RGB ``(1, H, W, 3)``, C-contiguous, into int32 symbols ``(1, C, h, w)``.

        Raises:
            ImageError: the encoder does not take this shape.
        """
        ...


def open_runtime(name: str, model_path: Path, threads: int = 1) -> Runtime:
    """Load ``model_path`` with the runtime ``name`` of ``RUNTIMES``; ``threads`` is at least 1.

    Raises:
        RuntimeUnavailable: the name is unknown, or this machine lacks the library or the device.
        BundleError: the file is no encoder.
    """
    if name not in RUNTIMES:
        raise RuntimeUnavailable(f"no runtime {name!r}; choose one of {', '.join(sorted(RUNTIMES))}")
    if threads < 1:
        raise RuntimeUnavailable(f"{threads} threads asked of runtime {name!r}, expected at least 1")
    module, _, kind = RUNTIMES[name].partition(":")
    try:
        runtime = cast("type[Runtime]", getattr(import_module(module), kind))
    except ImportError as err:
        raise RuntimeUnavailable(f"runtime {name!r} needs a package that is not installed: {err}") from err
    return runtime(model_path, threads)
