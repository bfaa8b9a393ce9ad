# SPDX-License-Identifier: Apache-2.0
"""Run the encoder on an NVIDIA GPU by ONNX Runtime's TensorRT provider.

It builds an engine when a model is opened that it has none for, which takes up to minutes; so ``auto`` prefers CUDA.
What TensorRT does not take of a model runs on CUDA, never on the CPU.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from frankensplit.edge.runtimes import ENGINES, Probe, RuntimeOptions, onnxruntime, onnxruntime_cuda
from frankensplit.edge.tensorrt.engine_cache import EngineCache
from frankensplit.errors import RuntimeUnavailable
from frankensplit.places import user_path

PREFERENCE = 5
TENSORRT = "TensorrtExecutionProvider"
WORKSPACE_BYTES = 256 << 20
SMALLEST = 32  # the least side of a frame, in pixels

# Bytes that only such graphs contain, as protobuf writes them: a Cast to float16 (10), and a node's type.
HALF, INTEGERS = b"\x0a\x02to\x18\x0a", b"QuantizeLinear"


def probe() -> Probe:
    """Say whether the installed ONNX Runtime has the provider."""
    return onnxruntime.probe_provider(TENSORRT)


class Runtime(onnxruntime_cuda.Runtime):
    """Execute the encoder by TensorRT inside of ONNX Runtime."""

    provider: ClassVar[str] = TENSORRT

    def _providers(self, model_path: Path, options: RuntimeOptions) -> onnxruntime.Providers:
        told = tensorrt_options(model_path, options)
        return [(TENSORRT, told), (onnxruntime_cuda.CUDA, onnxruntime_cuda.CUDA_OPTIONS)]


def tensorrt_options(model_path: Path, options: RuntimeOptions) -> dict[str, str]:
    """Return the provider's options: the precision of the graph, the sizes to come, and where engines are kept.

    Raises:
        RuntimeUnavailable: the folder of engines cannot be made.
    """
    folder = str(_engine_folder(options))
    told = {
        "trt_max_workspace_size": str(WORKSPACE_BYTES),
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": folder,
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": folder,
        **_precision(model_path),
    }
    if options.largest:
        # With a profile, TensorRT builds while the model is opened, not at the first frame of each size.
        height, width = options.largest
        told["trt_profile_min_shapes"] = f"frame:1x{SMALLEST}x{SMALLEST}x3"
        told["trt_profile_opt_shapes"] = f"frame:1x{height}x{width}x3"
        told["trt_profile_max_shapes"] = told["trt_profile_opt_shapes"]
    return told


def _precision(model_path: Path) -> dict[str, str]:
    """TensorRT before 11 uses narrow types only where told to, even if the graph has them."""
    try:
        graph = model_path.read_bytes()
    except OSError:
        graph = b""  # ONNX Runtime is about to say what is wrong with the file
    return {
        "trt_fp16_enable": str(int(HALF in graph)),
        "trt_int8_enable": str(int(INTEGERS in graph)),
    }


def _engine_folder(options: RuntimeOptions) -> Path:
    """Make the folder; engines are code and ONNX Runtime loads what lies there, so it must be this user's alone."""
    folder = user_path(options.engines or ENGINES).absolute() / "onnxruntime"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as err:
        raise RuntimeUnavailable(
            f"cannot make {folder} for TensorRT's engines: {err}; name another folder of engines"
        ) from err
    EngineCache(folder).names()  # refuses a folder that others can write
    return folder
