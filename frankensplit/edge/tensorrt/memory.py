# SPDX-License-Identifier: Apache-2.0
"""Buffers that CPU and GPU both reach: copied between two memories, or one memory that both see."""

from __future__ import annotations

import ctypes
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from frankensplit.edge.tensorrt.cudart import Cuda


class Buffer:
    """Memory of a fixed size at fixed addresses.

    Args:
        cuda: the CUDA runtime.
        size: in bytes.
        mapped: the GPU works on the pinned memory itself; otherwise it has its own, and copies are queued.
        owner: frees the memory when it is closed.
    """

    def __init__(self, cuda: Cuda, size: int, *, mapped: bool, owner: ExitStack) -> None:
        self._cuda, self._size, self._mapped = cuda, size, mapped
        self.host = cuda.allocate_host(size, mapped=mapped)
        owner.callback(cuda.free_host, self.host)
        if mapped:
            self.device = cuda.mapped_address(self.host)
        else:
            self.device = cuda.allocate(size)
            owner.callback(cuda.free, self.device)

    def view(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return the first bytes as an array; not to be touched while the GPU works, nor after the owner is closed."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if size > self._size:
            raise ValueError(f"view of {size} bytes on a buffer of {self._size}")
        raw = memoryview((ctypes.c_uint8 * size).from_address(self.host))
        array: NDArray[Any] = np.frombuffer(raw, dtype).reshape(shape)
        return array

    def upload(self, size: int, stream: int) -> None:
        """Queue what brings the first bytes to the GPU."""
        if not self._mapped:
            self._cuda.copy_to_device(self.device, self.host, size, stream)

    def download(self, size: int, stream: int) -> None:
        """Queue what brings the first bytes back."""
        if not self._mapped:
            self._cuda.copy_to_host(self.host, self.device, size, stream)
