# SPDX-License-Identifier: Apache-2.0
"""The few calls of the CUDA runtime that are needed, by ctypes: they are the same in CUDA 12 and 13."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint, c_ulonglong, c_void_p
from pathlib import Path
from typing import Any

from frankensplit.errors import RuntimeUnavailable

NAMES = ("libcudart.so.12", "libcudart.so.13", "libcudart.so")

_OUT_POINTER, _OUT_INT = POINTER(c_void_p), POINTER(c_int)
SIGNATURES: dict[str, tuple[Any, ...]] = {
    "cudaGetDeviceCount": (_OUT_INT,),
    "cudaSetDevice": (c_int,),
    "cudaDeviceGetAttribute": (_OUT_INT, c_int, c_int),
    "cudaGetDeviceProperties": (c_void_p, c_int),
    "cudaRuntimeGetVersion": (_OUT_INT,),
    "cudaDriverGetVersion": (_OUT_INT,),
    "cudaMalloc": (_OUT_POINTER, c_size_t),
    "cudaFree": (c_void_p,),
    "cudaHostAlloc": (_OUT_POINTER, c_size_t, c_uint),
    "cudaFreeHost": (c_void_p,),
    "cudaHostGetDevicePointer": (_OUT_POINTER, c_void_p, c_uint),
    "cudaMemcpyAsync": (c_void_p, c_void_p, c_size_t, c_int, c_void_p),
    "cudaStreamCreateWithFlags": (_OUT_POINTER, c_uint),
    "cudaStreamDestroy": (c_void_p,),
    "cudaStreamSynchronize": (c_void_p,),
    "cudaStreamBeginCapture": (c_void_p, c_int),
    "cudaStreamEndCapture": (c_void_p, _OUT_POINTER),
    "cudaGraphInstantiateWithFlags": (_OUT_POINTER, c_void_p, c_ulonglong),
    "cudaGraphLaunch": (c_void_p, c_void_p),
    "cudaGraphDestroy": (c_void_p,),
    "cudaGraphExecDestroy": (c_void_p,),
    "cudaGetLastError": (),
    "cudaGetErrorName": (c_int,),
    "cudaGetErrorString": (c_int,),
}
TEXTS = ("cudaGetErrorName", "cudaGetErrorString")

MULTIPROCESSORS, INTEGRATED, CAN_MAP_HOST, BUS_WIDTH, L2_BYTES = 16, 18, 19, 37, 38
MAJOR, MINOR = 75, 76
MAPPED = 2
NON_BLOCKING = 1
TO_DEVICE, TO_HOST = 1, 2
CAPTURE_THIS_THREAD = 1
NAME_BYTES, PROPERTIES_BYTES = 256, 1 << 14


class CudaError(RuntimeUnavailable):
    """A call of the CUDA runtime failed.

    Args:
        call: the function's name.
        code: its return value.
        name: of the code, such as ``cudaErrorMemoryAllocation``.
        text: what CUDA says about it.
    """

    def __init__(self, call: str, code: int, name: str, text: str) -> None:
        self.call, self.code, self.name = call, code, name
        super().__init__(f"{call} failed with {code} {name}: {text}")


class Cuda:
    """The CUDA runtime on the first visible device.

    Args:
        library: ``libcudart`` as a ctypes library.
    """

    def __init__(self, library: Any) -> None:
        self._library = library
        for name, arguments in SIGNATURES.items():
            function = getattr(library, name)
            function.argtypes = arguments
            function.restype = c_char_p if name in TEXTS else c_int

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._library, name)(*arguments)
        if code:
            self._library.cudaGetLastError()  # clears the error, which the next call would report again
            said = [(getattr(self._library, text)(code) or b"?").decode("utf-8", "replace") for text in TEXTS]
            raise CudaError(name, code, *said)

    def _int(self, name: str, *arguments: Any) -> int:
        value = c_int(0)
        self._call(name, byref(value), *arguments)
        return value.value

    def _pointer(self, name: str, *arguments: Any) -> int:
        value = c_void_p(None)
        self._call(name, byref(value), *arguments)
        return value.value or 0

    def use_first_device(self) -> None:
        """Choose the first device; raises CudaError or RuntimeUnavailable if there is none."""
        if self._int("cudaGetDeviceCount") < 1:
            raise RuntimeUnavailable("CUDA sees no GPU; check CUDA_VISIBLE_DEVICES")
        self._call("cudaSetDevice", 0)

    def attribute(self, number: int) -> int:
        """Return an attribute of the device."""
        return self._int("cudaDeviceGetAttribute", number, 0)

    def device_name(self) -> str:
        """Return the device's name: what every version's properties begin with, whatever follows."""
        properties = ctypes.create_string_buffer(PROPERTIES_BYTES)
        self._call("cudaGetDeviceProperties", properties, 0)
        return properties.raw[:NAME_BYTES].split(b"\0")[0].decode("utf-8", "replace")

    def versions(self) -> tuple[int, int]:
        """Return the versions of runtime and driver, such as 12060 for 12.6."""
        return self._int("cudaRuntimeGetVersion"), self._int("cudaDriverGetVersion")

    def maps_host_memory(self) -> bool:
        """Say whether the GPU shares the CPU's memory and can be shown a buffer in it."""
        return bool(self.attribute(INTEGRATED) and self.attribute(CAN_MAP_HOST))

    def allocate(self, size: int) -> int:
        """Return the address of ``size`` new bytes of device memory."""
        return self._pointer("cudaMalloc", size)

    def free(self, address: int) -> None:
        """Free device memory."""
        self._call("cudaFree", address)

    def allocate_host(self, size: int, *, mapped: bool) -> int:
        """Return the CPU's address of ``size`` new pinned bytes, which the GPU may be shown if ``mapped``."""
        return self._pointer("cudaHostAlloc", size, MAPPED if mapped else 0)

    def free_host(self, address: int) -> None:
        """Free pinned memory."""
        self._call("cudaFreeHost", address)

    def mapped_address(self, host: int) -> int:
        """Return the GPU's address of mapped pinned memory."""
        return self._pointer("cudaHostGetDevicePointer", host, 0)

    def copy_to_device(self, device: int, host: int, size: int, stream: int) -> None:
        """Queue a copy from pinned memory."""
        self._call("cudaMemcpyAsync", device, host, size, TO_DEVICE, stream)

    def copy_to_host(self, host: int, device: int, size: int, stream: int) -> None:
        """Queue a copy to pinned memory."""
        self._call("cudaMemcpyAsync", host, device, size, TO_HOST, stream)

    def create_stream(self) -> int:
        """Return a new stream that does not wait for the default stream."""
        return self._pointer("cudaStreamCreateWithFlags", NON_BLOCKING)

    def destroy_stream(self, stream: int) -> None:
        """Give a stream back."""
        self._call("cudaStreamDestroy", stream)

    def synchronize(self, stream: int) -> None:
        """Wait for all that is queued."""
        self._call("cudaStreamSynchronize", stream)

    def begin_capture(self, stream: int) -> None:
        """Record what is queued from now on instead of doing it."""
        self._call("cudaStreamBeginCapture", stream, CAPTURE_THIS_THREAD)

    def end_capture(self, stream: int) -> int:
        """Return the recorded graph."""
        graph = c_void_p(None)
        self._call("cudaStreamEndCapture", stream, byref(graph))  # the only one that gives its result last
        return graph.value or 0

    def instantiate(self, graph: int) -> int:
        """Return a graph made ready to launch."""
        return self._pointer("cudaGraphInstantiateWithFlags", graph, 0)

    def launch(self, executable: int, stream: int) -> None:
        """Queue a graph."""
        self._call("cudaGraphLaunch", executable, stream)

    def destroy_graph(self, graph: int) -> None:
        """Give a recorded graph back."""
        self._call("cudaGraphDestroy", graph)

    def destroy_executable(self, executable: int) -> None:
        """Give a launchable graph back."""
        self._call("cudaGraphExecDestroy", executable)


def open_cuda() -> Cuda:
    """Load the CUDA runtime and choose the first GPU.

    Raises:
        RuntimeUnavailable: no library, no GPU, or no driver for it.
    """
    cuda = Cuda(load_library())
    try:
        cuda.use_first_device()
    except CudaError as err:
        raise RuntimeUnavailable(f"no GPU can be used: {err}; check the NVIDIA driver") from err
    return cuda


def load_library() -> Any:
    """Return ``libcudart``; raises RuntimeUnavailable."""
    problems = []
    for name in _candidates():
        try:
            library = ctypes.CDLL(name)
        except OSError as err:
            problems.append(str(err))
            continue
        missing = [function for function in SIGNATURES if not hasattr(library, function)]
        if not missing:
            return library
        problems.append(f"{name} lacks {missing[0]}")
    raise RuntimeUnavailable(f"the CUDA runtime does not load: {'; '.join(problems[: len(NAMES)])}")


def _candidates() -> Iterator[str]:
    """Names for the loader's own search, then where pip's packages and CUDA's installer put the library."""
    yield from NAMES
    for folder in sys.path:
        for found in sorted(Path(folder or ".").glob("nvidia/cu*/lib/libcudart.so.*")):
            yield str(found)
    yield "/usr/local/cuda/lib64/libcudart.so"
