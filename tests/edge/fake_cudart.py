# SPDX-License-Identifier: Apache-2.0
"""A CUDA runtime without a GPU, behind the same C calls: real memory, streams that wait, graphs that replay.

Work queued on a stream is done when the stream is waited for, so a missing wait shows. Device memory, pinned memory
and the GPU's view of mapped memory are told apart by address, so a mixed-up pointer shows. Freed memory stays out of
use for good, so a use after freeing shows.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import re
from collections import Counter
from ctypes import CFUNCTYPE, POINTER, c_int, c_size_t, c_uint, c_ulonglong, c_void_p

OUT = POINTER(c_void_p)
PROTOTYPES = {  # copied from CUDA's documentation, not from the code under test
    "cudaGetDeviceCount": (POINTER(c_int),),
    "cudaSetDevice": (c_int,),
    "cudaDeviceGetAttribute": (POINTER(c_int), c_int, c_int),
    "cudaGetDeviceProperties": (c_void_p, c_int),
    "cudaRuntimeGetVersion": (POINTER(c_int),),
    "cudaDriverGetVersion": (POINTER(c_int),),
    "cudaMalloc": (OUT, c_size_t),
    "cudaFree": (c_void_p,),
    "cudaHostAlloc": (OUT, c_size_t, c_uint),
    "cudaFreeHost": (c_void_p,),
    "cudaHostGetDevicePointer": (OUT, c_void_p, c_uint),
    "cudaMemcpyAsync": (c_void_p, c_void_p, c_size_t, c_int, c_void_p),
    "cudaStreamCreateWithFlags": (OUT, c_uint),
    "cudaStreamDestroy": (c_void_p,),
    "cudaStreamSynchronize": (c_void_p,),
    "cudaStreamBeginCapture": (c_void_p, c_int),
    "cudaStreamEndCapture": (c_void_p, OUT),
    "cudaGraphInstantiateWithFlags": (OUT, c_void_p, c_ulonglong),
    "cudaGraphLaunch": (c_void_p, c_void_p),
    "cudaGraphDestroy": (c_void_p,),
    "cudaGraphExecDestroy": (c_void_p,),
    "cudaGetLastError": (),
}
ERRORS = {
    1: (b"cudaErrorInvalidValue", b"invalid argument"),
    2: (b"cudaErrorMemoryAllocation", b"out of memory"),
    35: (
        b"cudaErrorInsufficientDriver",
        b"CUDA driver version is insufficient for CUDA runtime version",
    ),
    700: (b"cudaErrorIllegalAddress", b"an illegal memory access was encountered"),
    900: (
        b"cudaErrorStreamCaptureUnsupported",
        b"operation not permitted when stream is capturing",
    ),
    901: (
        b"cudaErrorStreamCaptureInvalidated",
        b"operation failed due to a previous error during capture",
    ),
}
DEVICE, PINNED, MAPPED, VIEW = "device", "pinned", "mapped", "view"


class Refused(Exception):
    """An error code to return."""


class Stream:
    """Work that waits, or is being recorded."""

    def __init__(self) -> None:
        self.queue = []
        self.recorded = None
        self.broken = False


class FakeCudart:
    """What ``ctypes.CDLL`` would give, and knobs.

    Args:
        integrated: CPU and GPU share memory, as on a Jetson.
        major: of CUDA.
    """

    def __init__(self, *, integrated: bool = False, major: int = 12) -> None:
        self.integrated, self.version, self.driver = integrated, 1000 * major + 60, 1000 * major + 60
        self.name = b"Orin" if integrated else b"Fake GPU"
        self.attributes = {75: 8, 76: 7, 16: 8, 18: int(integrated), 19: 1, 37: 128, 38: 1 << 21}
        self.count = 1
        self.calls: Counter[str] = Counter()
        self.failures: dict[
            str, list[int]
        ] = {}  # by function: calls that still work, and the code after them
        self._memory: dict[
            int, tuple[str, int, object, int]
        ] = {}  # address: kind, size, what keeps it, device address
        self._graveyard: list[object] = []
        self._things: dict[int, object] = {}  # streams, graphs, executables by handle
        self._next = 0x1000
        self._texts = [ctypes.create_string_buffer(text) for pair in ERRORS.values() for text in pair]
        for name, arguments in PROTOTYPES.items():
            setattr(self, name, CFUNCTYPE(c_int, *arguments)(self._counted(name)))
        self.cudaGetErrorName = CFUNCTYPE(c_void_p, c_int)(lambda code: self._text(code, 0))
        self.cudaGetErrorString = CFUNCTYPE(c_void_p, c_int)(lambda code: self._text(code, 1))

    def fail(self, name: str, code: int = 700, after: int = 0) -> None:
        """Let a function fail once it has worked ``after`` times more."""
        self.failures[name] = [after, code]

    @property
    def held(self) -> dict[str, int]:
        """What was got and not given back, by kind."""
        kinds = [kind for kind, *_ in self._memory.values() if kind != VIEW]
        return dict(Counter([*kinds, *(type(one).__name__ for one in self._things.values())]))

    def enqueue(self, stream: int, work) -> bool:
        """Queue work as a kernel would be; False if nothing can be."""
        one = self._things.get(stream)
        if not isinstance(one, Stream):
            return False
        (one.queue if one.recorded is None else one.recorded).append(work)
        return True

    def capturing(self, stream: int) -> bool:
        """Say whether a stream records."""
        return self._things[stream].recorded is not None

    def read(self, address: int, size: int) -> bytes:
        """Read as the GPU."""
        self._check(address, size, DEVICE, VIEW)
        return ctypes.string_at(address, size)

    def write(self, address: int, content: bytes) -> None:
        """Write as the GPU."""
        self._check(address, len(content), DEVICE, VIEW)
        ctypes.memmove(address, content, len(content))

    def _text(self, code: int, which: int) -> int:
        known = list(ERRORS)
        at = 2 * known.index(code) + which if code in known else 0
        return ctypes.addressof(self._texts[at])

    def _counted(self, name: str):
        body = getattr(self, re.sub(r"([A-Z])", r"_\1", name.removeprefix("cuda")).lower())

        def function(*arguments) -> int:
            self.calls[name] += 1
            if name in self.failures:
                self.failures[name][0] -= 1
                if self.failures[name][0] < 0:
                    self._end_recording(name, *arguments)
                    return self.failures[name][1]
            try:
                body(*arguments)
            except Refused as err:
                return err.args[0]
            return 0

        return function

    def _end_recording(self, name: str, *arguments) -> None:
        """A recording ends even where ending it fails."""
        if name == "cudaStreamEndCapture":
            self._things[arguments[0]].recorded = None

    def _check(self, address: int, size: int, *kinds: str) -> None:
        for start, (kind, length, *_) in self._memory.items():
            if kind in kinds and start <= address and address + size <= start + length:
                return
        raise Refused(700)

    def _handle(self, thing: object) -> int:
        self._next += 16
        self._things[self._next] = thing
        return self._next

    def _pop(self, handle: int, kind: type) -> object:
        if not isinstance(self._things.get(handle), kind):
            raise Refused(1)
        return self._things.pop(handle)

    def _get_device_count(self, out) -> None:
        out[0] = self.count

    def _set_device(self, device) -> None:
        if device >= self.count:
            raise Refused(1)

    def _device_get_attribute(self, out, number, device) -> None:
        out[0] = self.attributes[number]

    def _get_device_properties(self, properties, device) -> None:
        ctypes.memmove(properties, self.name + b"\0" + b"x" * 1000, len(self.name) + 1001)

    def _runtime_get_version(self, out) -> None:
        out[0] = self.version

    def _driver_get_version(self, out) -> None:
        out[0] = self.driver

    def _malloc(self, out, size) -> None:
        out[0] = self._plain(DEVICE, size)

    def _plain(self, kind: str, size: int) -> int:
        if size < 1:
            raise Refused(1)
        buffer = ctypes.create_string_buffer(size)
        address = ctypes.addressof(buffer)
        self._memory[address] = (kind, size, buffer, 0)
        return address

    def _free(self, address) -> None:
        self._release(address, DEVICE)

    def _release(self, address: int, *kinds: str) -> None:
        if self._memory.get(address or 0, ("",))[0] not in kinds:
            raise Refused(1)
        _, _, keeper, view = self._memory.pop(address)
        self._graveyard.append(keeper)
        self._memory.pop(view, None)

    def _host_alloc(self, out, size, flags) -> None:
        if flags & 2:
            out[0] = self._twice(size)
        else:
            out[0] = self._plain(PINNED, size)

    def _twice(self, size: int) -> int:
        """One memory at two addresses, the CPU's and the GPU's."""
        file = os.memfd_create("mapped")
        os.ftruncate(file, size)
        keeper = [mmap.mmap(file, size), mmap.mmap(file, size)]
        os.close(file)
        host, view = (ctypes.addressof(ctypes.c_char.from_buffer(one)) for one in keeper)
        self._memory[host] = (MAPPED, size, keeper, view)
        self._memory[view] = (VIEW, size, keeper, 0)
        return host

    def _free_host(self, address) -> None:
        self._release(address, PINNED, MAPPED)

    def _host_get_device_pointer(self, out, address, flags) -> None:
        kind, _, _, view = self._memory.get(address, ("", 0, None, 0))
        if kind != MAPPED:
            raise Refused(1)
        out[0] = view

    def _memcpy_async(self, target, source, size, kind, stream) -> None:
        if kind == 1:
            self._check(source, size, PINNED)
            self._check(target, size, DEVICE)
        else:
            self._check(source, size, DEVICE)
            self._check(target, size, PINNED)
        if not self.enqueue(stream, lambda: ctypes.memmove(target, source, size)):
            raise Refused(1)

    def _stream_create_with_flags(self, out, flags) -> None:
        if flags != 1:
            raise Refused(1)
        out[0] = self._handle(Stream())

    def _stream_destroy(self, stream) -> None:
        self._pop(stream, Stream)

    def _stream_synchronize(self, stream) -> None:
        one = self._things.get(stream)
        if not isinstance(one, Stream):
            raise Refused(1)
        if one.recorded is not None:
            one.broken = True
            raise Refused(900)
        queue, one.queue = one.queue, []
        for work in queue:
            work()

    def _stream_begin_capture(self, stream, mode) -> None:
        self._things[stream].recorded = []

    def _stream_end_capture(self, stream, out) -> None:
        one = self._things[stream]
        recorded, one.recorded = one.recorded, None
        broken, one.broken = one.broken, False
        if recorded is None or broken:
            raise Refused(901)
        out[0] = self._handle(Graph(recorded))

    def _graph_instantiate_with_flags(self, out, graph, flags) -> None:
        out[0] = self._handle(Executable(self._things[graph].work))

    def _graph_launch(self, executable, stream) -> None:
        work = list(self._things[executable].work)
        self._things[stream].queue.extend(work)

    def _graph_destroy(self, graph) -> None:
        self._pop(graph, Graph)

    def _graph_exec_destroy(self, executable) -> None:
        self._pop(executable, Executable)

    def _get_last_error(self) -> None:
        pass


class Graph:
    """Recorded work."""

    def __init__(self, work: list) -> None:
        self.work = work


class Executable(Graph):
    """Recorded work that can be launched."""
