# SPDX-License-Identifier: Apache-2.0
"""From a plan to something that encodes frames: deserialise, check, execute, and compare with the reference."""

from __future__ import annotations

import logging
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frankensplit.edge.tensorrt.build import FRAME
from frankensplit.edge.tensorrt.contract import read_contract
from frankensplit.edge.tensorrt.cudart import Cuda
from frankensplit.edge.tensorrt.execute import Executor
from frankensplit.edge.tensorrt.library import TensorRTError, journal_of, make
from frankensplit.edge.tensorrt.profile import Profile
from frankensplit.edge.tensorrt.reference import EngineWrong, Reference, synthetic_frame
from frankensplit.errors import BundleError, RuntimeUnavailable

AUTO, ON, OFF = "auto", "on", "off"
TIMED_FRAMES, WARM_FRAMES = 9, 3
_log = logging.getLogger(__name__)


class Engine:
    """A plan ready to encode frames.

    Args:
        trt: the module ``tensorrt``.
        cuda: the CUDA runtime.
        plan: a serialised engine that this user built.
        profile: the frames it was built for.
        zero_copy: ``on``, ``off``, or ``auto``, which times both.

    Raises:
        EngineWrong: it is not an engine that this TensorRT loads, or is built for other frames.
        BundleError: it is of no encoder.
        RuntimeUnavailable: GPU or TensorRT fail, or ``zero_copy`` is asked of a GPU without it.
    """

    def __init__(self, trt: Any, cuda: Cuda, plan: bytes, profile: Profile, zero_copy: str = OFF) -> None:
        mapped = _memories(cuda, zero_copy)
        self._journal = journal_of(trt)
        self._runtime = make(self._journal, trt.Runtime)  # must outlive the engine
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            # A good engine does not load either when memory is short; it must not be thrown away then.
            kind = TensorRTError if self._journal.memory_ran_short else EngineWrong
            raise kind(f"TensorRT {trt.__version__} does not load the engine{self._journal.why()}")
        self.contract = read_contract(trt, self._engine)
        _check_profile(self._engine, profile)
        self.profile = profile
        self._executor = self._open(cuda, mapped[0] if len(mapped) == 1 else self._faster(cuda, mapped))

    def __call__(self, frame: NDArray[np.uint8], scale: float = 1.0) -> NDArray[np.int32]:
        """Return a frame's symbols; see :class:`frankensplit.edge.runtimes.Runtime`."""
        if self._executor.closed:
            raise RuntimeUnavailable("the engine is closed; open the runtime again")
        if scale != 1 and not self.contract.has_scale:
            raise BundleError(
                f"scale is {scale}, but this encoder has no quality levels: export the codec again"
            )
        return self._executor(frame, scale)

    def check(self, reference: Reference) -> None:
        """Compare with the reference, three times: call by call, as a CUDA graph is recorded, and launched.

        Raises:
            EngineWrong: other symbols.
        """
        for _ in range(3):
            reference.check(self(reference.frame()))

    def close(self) -> None:
        """Free what the GPU holds."""
        self._executor.close()
        self._engine = self._runtime = None

    def _open(self, cuda: Cuda, mapped: bool) -> Executor:
        return Executor(cuda, self._engine, self.contract, self.profile, mapped=mapped, journal=self._journal)

    def _faster(self, cuda: Cuda, memories: list[bool]) -> bool:
        """Time each kind of memory, one after the other; one that fails where another works is passed over."""
        frame = synthetic_frame(self.profile.height, self.profile.width)
        timed: dict[bool, float] = {}
        problems: list[RuntimeUnavailable] = []
        for mapped in memories:
            try:
                timed[mapped] = self._time(cuda, mapped, frame)
            except RuntimeUnavailable as err:  # noqa: PERF203
                problems.append(err.with_traceback(None))  # a traceback would keep local variables alive
        if not timed:
            raise problems[0]
        fastest = min(timed, key=lambda mapped: timed[mapped])
        _log.info("frames are %s, %.2f ms each", "mapped" if fastest else "copied", 1e3 * timed[fastest])
        return fastest

    def _time(self, cuda: Cuda, mapped: bool, frame: NDArray[np.uint8]) -> float:
        executor = self._open(cuda, mapped)
        try:
            return _seconds(executor, frame)
        finally:
            executor.close()


def _memories(cuda: Cuda, zero_copy: str) -> list[bool]:
    """Return which kinds of memory come into question: mapped (True) or copied."""
    if zero_copy not in (AUTO, ON, OFF):
        raise RuntimeUnavailable(f"zero copy {zero_copy!r}, expected {AUTO!r}, {ON!r} or {OFF!r}")
    possible = cuda.maps_host_memory()
    if zero_copy == ON and not possible:
        raise RuntimeUnavailable(
            f"zero copy is {ON!r}, but {cuda.device_name()} has its own memory: use {AUTO!r} or {OFF!r}"
        )
    if zero_copy == AUTO and possible:
        return [True, False]
    return [zero_copy == ON]


def _seconds(executor: Executor, frame: NDArray[np.uint8]) -> float:
    """Return the median time of a frame, after those that allocate and record."""
    taken = []
    for _ in range(WARM_FRAMES + TIMED_FRAMES):
        started = perf_counter()
        executor(frame)
        taken.append(perf_counter() - started)
    return float(np.median(taken[WARM_FRAMES:]))


def _check_profile(engine: Any, profile: Profile) -> None:
    smallest, _, largest = (tuple(shape) for shape in engine.get_tensor_profile_shape(FRAME, 0))
    expected = (1, *profile.smallest, 3), (1, profile.height, profile.width, 3)
    if (smallest, largest) != expected:
        raise EngineWrong(
            f"engine takes frames from {smallest} to {largest}, expected {expected[0]} to {expected[1]}"
        )
