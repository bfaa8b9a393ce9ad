# SPDX-License-Identifier: Apache-2.0
"""Run the encoder with ONNX Runtime on the CPU; other providers derive from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from frankensplit.bundle import FOR_CPUS
from frankensplit.edge.onnx_file import read_encoder_file
from frankensplit.edge.runtimes import Probe, RuntimeOptions
from frankensplit.errors import BundleError, ImageError, RuntimeUnavailable

PREFERENCE = 0
ERRORS_ONLY = 3  # ONNX Runtime's severity; its warnings are about graph details that no user can change
CPU = "CPUExecutionProvider"
MODEL_ERROR = "Load model from"  # its errors about the file begin so; those about a provider do not
Providers = list[tuple[str, dict[str, str]]]


def probe() -> Probe:
    """Say which ONNX Runtime is installed."""
    return probe_provider(CPU)


def probe_provider(provider: str) -> Probe:
    """Say whether the installed ONNX Runtime was built with a provider."""
    try:
        import onnxruntime as ort
    except (ImportError, OSError) as err:
        return Probe(problem=f"onnxruntime cannot be imported: {err}")
    versions = {"onnxruntime": str(ort.__version__)}
    available = ort.get_available_providers()
    if provider not in available:
        return Probe(
            versions,
            f"ONNX Runtime {ort.__version__} here has {', '.join(available)}, not {provider}; "
            "install the build for this device or choose another runtime",
        )
    return Probe(versions)


class Runtime:
    """Execute the encoder on the CPU; see :class:`frankensplit.edge.runtimes.Runtime`."""

    provider: ClassVar[str] = CPU

    def __init__(self, model_path: Path, options: RuntimeOptions) -> None:
        model_path = self._variant(model_path)
        read_encoder_file(model_path, options.largest, options.latent)
        self._session = open_session(model_path, self._providers(model_path, options), options.threads)
        self._frame, self._shape, self._has_scale = _check_contract(self._session, model_path)

    def __call__(self, frame: NDArray[np.uint8], scale: float = 1.0) -> NDArray[np.int32]:
        """Run one frame."""
        if frame.dtype != np.uint8 or not _fits(frame.shape, self._shape):
            raise ImageError(
                f"encoder got {frame.dtype} of shape {frame.shape}, expected uint8 of {self._shape}; "
                "export the codec for this size"
            )
        inputs: dict[str, NDArray[Any]] = {self._frame: frame}
        if self._has_scale:
            inputs["scale"] = np.array([scale], np.float32)
        elif scale != 1:
            raise BundleError(
                f"scale is {scale}, but this encoder has no quality levels: export the codec again"
            )
        try:
            return self._run(inputs)
        except Exception as err:  # its many exceptions share no base but Exception
            raise BundleError(f"the encoder failed on a frame of {frame.shape}: {err}") from err

    def _variant(self, model_path: Path) -> Path:
        """Return the encoder for CPUs if the codec has one: on a CPU the Q/DQ form is slower than fp32."""
        made_for_cpus = model_path.with_name(f"{model_path.stem}{FOR_CPUS}.onnx")
        return made_for_cpus if self.provider == CPU and made_for_cpus.exists() else model_path

    def _providers(self, model_path: Path, options: RuntimeOptions) -> Providers:
        return [(self.provider, {})]

    def _run(self, inputs: dict[str, NDArray[Any]]) -> NDArray[np.int32]:
        """Read the inputs in place, return a new array: no copy on the CPU, so nothing for an IO binding to save."""
        symbols: NDArray[np.int32] = self._session.run(None, inputs)[0]
        return symbols


def open_session(model_path: Path, providers: Providers, threads: int) -> Any:
    """Open a model with the first provider; what that cannot run may only go to the others named.

    Raises:
        RuntimeUnavailable: the provider is not in this ONNX Runtime, does not start, or needs the CPU's help.
        BundleError: the model does not load.
    """
    import onnxruntime as ort

    provider = providers[0][0]
    if problem := probe_provider(provider).problem:
        raise RuntimeUnavailable(problem)
    options = session_options(threads)
    if provider != CPU:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    try:
        # With fallback, ONNX Runtime's Python side would silently go to the CPU, here or at a frame that fails.
        session = ort.InferenceSession(str(model_path), options, providers=providers, enable_fallback=0)
    except Exception as err:  # its many exceptions share no base but Exception
        if provider == CPU or MODEL_ERROR in str(err):
            raise BundleError(f"ONNX Runtime {ort.__version__} cannot load {model_path}: {err}") from err
        reason = str(err).strip()
        raise RuntimeUnavailable(
            f"{provider} did not start, or cannot run all of {model_path} without the CPU ({reason}): "
            "check its libraries and drivers, which ONNX Runtime names on standard error, or choose another runtime"
        ) from err
    # If a provider cannot start, ONNX Runtime only warns and uses the CPU.
    if session.get_providers()[0] != provider:
        raise RuntimeUnavailable(
            f"{provider} did not start: got {session.get_providers()}; check its drivers"
        )
    return session


def session_options(threads: int) -> Any:
    """Use no more of the robot than asked for: no second pool, no spinning between frames, no second arena."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # The memory pattern keeps a second block for all activations once a size repeats, and makes nothing faster.
    options.enable_mem_pattern = False
    options.log_severity_level = ERRORS_ONLY
    return options


def _fits(shape: tuple[int, ...], expected: list[int | str | None]) -> bool:
    """Compare where the model fixes a side; a name or None leaves it free."""
    return len(shape) == len(expected) and all(
        found == side for found, side in zip(shape, expected, strict=True) if isinstance(side, int)
    )


def _check_contract(session: Any, path: Path) -> tuple[str, list[int | str | None], bool]:
    """Return the frame's name and shape, and whether there is a scale, if the model is an encoder."""
    frames, scales = session.get_inputs()[:1], session.get_inputs()[1:]
    found = [(node.name, node.type, node.shape) for node in (*session.get_inputs(), *session.get_outputs())]
    if len(frames) == len(session.get_outputs()) == 1:
        frame, symbols = frames[0], session.get_outputs()[0]
        takes_frames = frame.type == "tensor(uint8)" and len(frame.shape) == 4 and frame.shape[3] == 3
        gives_symbols = symbols.type == "tensor(int32)" and len(symbols.shape) == 4
        scaled = [(one.name, one.type, one.shape) for one in scales] == [("scale", "tensor(float)", [1])]
        if takes_frames and gives_symbols and (scaled or not scales):
            return frame.name, frame.shape, scaled
    raise BundleError(
        f"{path} has inputs and outputs {found}, expected tensor(uint8) [1, H, W, 3], perhaps scale "
        "tensor(float) [1], and tensor(int32) [1, C, h, w]; export the codec again"
    )
