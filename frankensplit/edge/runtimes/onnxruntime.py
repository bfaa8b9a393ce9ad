# SPDX-License-Identifier: Apache-2.0
"""Run the encoder with ONNX Runtime, on the provider that was asked for or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from frankensplit.errors import BundleError, ImageError, RuntimeUnavailable

ERRORS_ONLY = 3  # ONNX Runtime's severity; its warnings are about graph details that no user can change


class OnnxRuntime:
    """Execute the encoder on the CPU; see :class:`frankensplit.edge.runtimes.Runtime`."""

    provider: ClassVar[str] = "CPUExecutionProvider"

    def __init__(self, model_path: Path, threads: int) -> None:
        self._session = _open_session(model_path, self.provider, _options(threads))
        self._input, self._shape = _check_contract(self._session, model_path)

    def __call__(self, frame: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Run one frame; the input is read in place, the output is new."""
        if frame.dtype != np.uint8 or not _fits(frame.shape, self._shape):
            raise ImageError(
                f"encoder got {frame.dtype} of shape {frame.shape}, expected uint8 of {self._shape}; "
                "export the codec for this size"
            )
        symbols: NDArray[np.int32] = self._session.run(None, {self._input: frame})[0]
        return symbols


class OnnxCudaRuntime(OnnxRuntime):
    """Execute the encoder on an NVIDIA GPU by ONNX Runtime's CUDA provider."""

    provider: ClassVar[str] = "CUDAExecutionProvider"


def _options(threads: int) -> ort.SessionOptions:
    """Use no more of the robot's cores than asked for: no second pool, no spinning between frames."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = ERRORS_ONLY
    return options


def _open_session(model_path: Path, provider: str, options: ort.SessionOptions) -> ort.InferenceSession:
    available = ort.get_available_providers()
    if provider not in available:
        raise RuntimeUnavailable(
            f"ONNX Runtime {ort.__version__} here has {', '.join(available)}, not {provider}; "
            "install the build for this device or choose another runtime"
        )
    try:
        session = ort.InferenceSession(str(model_path), options, providers=[provider])
    except Exception as err:  # its many exceptions share no base but Exception
        raise BundleError(f"ONNX Runtime {ort.__version__} cannot load {model_path}: {err}") from err
    # ONNX Runtime goes on with the CPU, and only warns, where a provider cannot start.
    if session.get_providers()[0] != provider:
        raise RuntimeUnavailable(
            f"{provider} did not start: got {session.get_providers()}; check its drivers"
        )
    return session


def _fits(shape: tuple[int, ...], expected: list[int | str | None]) -> bool:
    """Compare where the model fixes a side; a name or None leaves it free."""
    return len(shape) == len(expected) and all(
        found == side for found, side in zip(shape, expected, strict=True) if isinstance(side, int)
    )


def _check_contract(session: ort.InferenceSession, path: Path) -> tuple[str, list[int | str | None]]:
    """Return the input's name and shape if the model is ``uint8 [1, H, W, 3]`` to ``int32 [1, C, h, w]``."""
    found = [(node.type, node.shape) for node in (*session.get_inputs(), *session.get_outputs())]
    ends = (len(session.get_inputs()), len(session.get_outputs()))
    if ends == (1, 1):
        (kind, shape), (symbol_kind, symbol_shape) = found
        takes_frames = kind == "tensor(uint8)" and len(shape) == 4 and shape[3] == 3
        if takes_frames and symbol_kind == "tensor(int32)" and len(symbol_shape) == 4:
            return session.get_inputs()[0].name, shape
    raise BundleError(
        f"{path} has inputs and outputs {found}, expected tensor(uint8) [1, H, W, 3] and "
        "tensor(int32) [1, C, h, w]; export the codec again"
    )
