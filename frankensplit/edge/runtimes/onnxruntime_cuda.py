# SPDX-License-Identifier: Apache-2.0
"""Run the encoder on an NVIDIA GPU by ONNX Runtime's CUDA provider."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from frankensplit.edge.runtimes import Probe, RuntimeOptions, onnxruntime

PREFERENCE = 10
CUDA = "CUDAExecutionProvider"
# TF32 is off, so fp32 is fp32. A search of all algorithms would take seconds. On a Jetson the CPU shares the memory.
CUDA_OPTIONS = {
    "use_tf32": "0",
    "cudnn_conv_algo_search": "HEURISTIC",
    "arena_extend_strategy": "kSameAsRequested",
}


def probe() -> Probe:
    """Say whether the installed ONNX Runtime has the provider."""
    return onnxruntime.probe_provider(CUDA)


class Runtime(onnxruntime.Runtime):
    """Execute the encoder on an NVIDIA GPU, with its inputs and output bound to fixed buffers there."""

    provider: ClassVar[str] = CUDA
    device: ClassVar[str] = "cuda"

    def __init__(self, model_path: Path, options: RuntimeOptions) -> None:
        super().__init__(model_path, options)
        self._binding = Binding(self._session, self.device)

    def _providers(self, model_path: Path, options: RuntimeOptions) -> onnxruntime.Providers:
        return [(CUDA, CUDA_OPTIONS)]

    def _run(self, inputs: dict[str, NDArray[Any]]) -> NDArray[np.int32]:
        return self._binding.run(inputs)


class Binding:
    """Buffers of the device that stay the same until the shape of an input changes.

    Two copies a frame: the inputs to the device, and the output from there into a new array.

    Args:
        session: of ONNX Runtime, with one output.
        device: ``cuda``, or ``cpu``.
    """

    def __init__(self, session: Any, device: str) -> None:
        self._session = session
        self._device = device
        self._output_name = session.get_outputs()[0].name
        self._shapes: dict[str, tuple[int, ...]] = {}

    def run(self, inputs: dict[str, NDArray[Any]]) -> NDArray[np.int32]:
        """Run on these inputs; the array returned is the caller's."""
        if self._shapes != {name: value.shape for name, value in inputs.items()}:
            self._bind(inputs)
        for name, value in inputs.items():
            self._inputs[name].update_inplace(value)
        self._session.run_with_iobinding(self._bound)
        # numpy() copies from a GPU, but is only a view of CPU memory.
        symbols: NDArray[np.int32] = self._output.numpy()
        return symbols.copy() if self._output.device_name() == "cpu" else symbols

    def _bind(self, inputs: dict[str, NDArray[Any]]) -> None:
        """Make the buffers. One run says how large the output is; its buffer is kept."""
        import onnxruntime as ort

        self._shapes = {}  # if a step below fails, the next frame binds again
        self._inputs = {
            name: ort.OrtValue.ortvalue_from_shape_and_type(value.shape, value.dtype, self._device, 0)
            for name, value in inputs.items()
        }
        self._bound = self._session.io_binding()
        for name, value in inputs.items():
            self._inputs[name].update_inplace(value)
            self._bound.bind_ortvalue_input(name, self._inputs[name])
        self._bound.bind_output(self._output_name, self._device)
        self._session.run_with_iobinding(self._bound)
        self._output = self._bound.get_outputs()[0]
        self._bound.bind_ortvalue_output(self._output_name, self._output)
        self._shapes = {name: value.shape for name, value in inputs.items()}
