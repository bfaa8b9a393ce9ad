# SPDX-License-Identifier: Apache-2.0
"""Execute an engine: pinned memory at fixed addresses, one stream, and a CUDA graph once the shape stays.

The first frame of a shape is queued call by call, since TensorRT may still allocate then. The second is recorded as a
CUDA graph, copies included, and from then on one launch does it all. A new shape begins anew. Where a graph cannot be
recorded, frames are queued call by call for good.
"""

from __future__ import annotations

import logging
import weakref
from contextlib import ExitStack, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frankensplit.edge.tensorrt.build import FRAME, SCALE
from frankensplit.edge.tensorrt.contract import SYMBOLS, Contract
from frankensplit.edge.tensorrt.cudart import Cuda, CudaError
from frankensplit.edge.tensorrt.library import Journal, TensorRTError, need
from frankensplit.edge.tensorrt.memory import Buffer
from frankensplit.edge.tensorrt.profile import Profile
from frankensplit.errors import ImageError

_log = logging.getLogger(__name__)


class Executor:
    """One execution context with its memory and stream; for one thread at a time.

    Args:
        cuda: the CUDA runtime.
        engine: of an encoder.
        contract: of the engine.
        profile: the frames that the engine takes.
        mapped: CPU and GPU work on the same memory, see :class:`.memory.Buffer`.
        journal: what TensorRT logs to.

    Raises:
        CudaError: memory or stream cannot be had; what was got is given back.
        TensorRTError: TensorRT refuses.
    """

    def __init__(
        self, cuda: Cuda, engine: Any, contract: Contract, profile: Profile, *, mapped: bool, journal: Journal
    ) -> None:
        self._cuda, self._profile, self._has_scale, self._journal = cuda, profile, contract.has_scale, journal
        self.mapped = mapped
        self._ran = False  # whether a frame of this shape ran
        self._shape: tuple[int, ...] = ()
        self._symbols_shape: tuple[int, ...] = ()
        self._graph_fails = False
        self._graph = _Graph(cuda)
        with ExitStack() as owner:
            self._stream = cuda.create_stream()
            owner.callback(cuda.destroy_stream, self._stream)
            # The stack closes in reverse: the context and the graph go before the memory that they use.
            self._context = need(engine.create_execution_context(), "make an execution context", journal)
            self._set_shape((1, profile.height, profile.width, 3))
            sizes = {FRAME: _bytes(self._shape, 1), SYMBOLS: _bytes(self._symbols_shape, 4)}
            if contract.has_scale:
                sizes[SCALE] = 4
            self._buffers = {
                name: Buffer(cuda, size, mapped=mapped, owner=owner) for name, size in sizes.items()
            }
            for name, buffer in self._buffers.items():
                answer = self._context.set_tensor_address(name, buffer.device)
                need(answer, f"take the address of {name}", journal)
            owner.callback(self._graph.drop)
            # The finalizer refers to the memory, not to this object, so the memory is freed even without close.
            self._close = weakref.finalize(self, _close_quietly, owner.pop_all())
            self._close.atexit = False  # the driver may be gone by then, and frees all anyway

    def close(self) -> None:
        """Free memory, stream and graph; the executor cannot be used afterwards."""
        with suppress(CudaError):
            self._graph.drop()
        self._context = None  # must go before the memory that it uses
        self._close()

    @property
    def closed(self) -> bool:
        """Whether the memory is freed."""
        return not self._close.alive

    def __call__(self, frame: NDArray[np.uint8], scale: float = 1.0) -> NDArray[np.int32]:
        """Return the symbols, int32 ``(1, C, h, w)``, of a frame, uint8 ``(1, H, W, 3)``; they are the caller's.

        Raises:
            ImageError: the engine does not take such a frame.
            CudaError, TensorRTError: the GPU fails.
        """
        if frame.dtype != np.uint8 or frame.ndim != 4 or frame.shape[0] != 1 or frame.shape[3] != 3:
            raise ImageError(
                f"encoder got {frame.dtype} of shape {frame.shape}, expected uint8 of (1, H, W, 3)"
            )
        known = frame.shape == self._shape and self._ran
        if frame.shape != self._shape:
            self._profile.check(*frame.shape[1:3])
            self._set_shape(frame.shape)
        np.copyto(self._buffers[FRAME].view(frame.shape, np.uint8), frame)
        if self._has_scale:
            self._buffers[SCALE].view((1,), np.float32)[0] = scale
        self._run(known)
        self._cuda.synchronize(self._stream)
        self._ran = True
        symbols: NDArray[np.int32] = self._buffers[SYMBOLS].view(self._symbols_shape, np.int32).copy()
        return symbols

    def _set_shape(self, shape: tuple[int, ...]) -> None:
        self._graph.drop()
        self._ran, self._shape = False, ()  # if TensorRT refuses below, no shape is set
        need(self._context.set_input_shape(FRAME, shape), f"take a frame of shape {shape}", self._journal)
        symbols = tuple(int(side) for side in self._context.get_tensor_shape(SYMBOLS))
        if len(symbols) != 4 or min(symbols) < 1:
            raise TensorRTError(
                f"TensorRT says that a frame of {shape} gives symbols of {symbols}{self._journal.why()}"
            )
        self._shape, self._symbols_shape = shape, symbols

    def _run(self, known: bool) -> None:
        if known and not self._graph and not self._graph_fails:
            try:
                self._graph.record(self._stream, self._queue)
            except (CudaError, TensorRTError) as err:
                self._graph_fails = True
                # Only the error's text is kept: the error itself would keep this object and its memory alive.
                _log.warning("no CUDA graph, each frame costs a little more time: %s", str(err))
        if self._graph:
            self._graph.launch(self._stream)
        else:
            self._queue()

    def _queue(self) -> None:
        """Queue one frame, call by call."""
        self._buffers[FRAME].upload(_bytes(self._shape, 1), self._stream)
        if self._has_scale:
            self._buffers[SCALE].upload(4, self._stream)
        need(self._context.execute_async_v3(self._stream), "execute the engine", self._journal)
        self._buffers[SYMBOLS].download(_bytes(self._symbols_shape, 4), self._stream)


class _Graph:
    """A recorded CUDA graph, or none."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self._executable = 0

    def __bool__(self) -> bool:
        return self._executable != 0

    def record(self, stream: int, queue: Any) -> None:
        """Record what ``queue`` queues; raises CudaError or TensorRTError, and nothing is recording then."""
        self._cuda.begin_capture(stream)
        try:
            queue()
        except BaseException:
            with suppress(CudaError):  # a broken recording ends with an error of its own
                self._cuda.destroy_graph(self._cuda.end_capture(stream))
            raise
        graph = self._cuda.end_capture(stream)
        try:
            self._executable = self._cuda.instantiate(graph)
        finally:
            self._cuda.destroy_graph(graph)

    def launch(self, stream: int) -> None:
        """Queue the graph."""
        self._cuda.launch(self._executable, stream)

    def drop(self) -> None:
        """Give the graph back, if there is one."""
        executable, self._executable = self._executable, 0
        if executable:
            self._cuda.destroy_executable(executable)


def _bytes(shape: tuple[int, ...], each: int) -> int:
    return int(np.prod(shape)) * each


def _close_quietly(owner: ExitStack) -> None:
    """Free all; a GPU that has failed cannot free, and what it failed with was raised before."""
    try:
        owner.close()
    except CudaError as err:
        _log.warning("memory of the GPU is not freed: %s", str(err))
