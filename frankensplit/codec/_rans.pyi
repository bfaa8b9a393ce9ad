# SPDX-License-Identifier: Apache-2.0
"""Types of the C coder; what it does is told in ``_rans_twin.py``."""

import numpy as np
from numpy.typing import NDArray

def encode(
    symbols: NDArray[np.int32], cdf: NDArray[np.int32], sizes: NDArray[np.int32], offsets: NDArray[np.int32]
) -> bytes: ...
def decode(
    payload: bytes,
    symbols: NDArray[np.int32],
    cdf: NDArray[np.int32],
    sizes: NDArray[np.int32],
    offsets: NDArray[np.int32],
) -> None: ...
def encode_in_context(
    symbols: NDArray[np.int32],
    shape: tuple[int, int, int],
    cdf: NDArray[np.int32],
    sizes: NDArray[np.int32],
    offsets: NDArray[np.int32],
    map_: NDArray[np.uint8],
    near_limits: NDArray[np.int32],
    activity_limits: NDArray[np.int32],
) -> bytes: ...
def decode_in_context(
    payload: bytes,
    symbols: NDArray[np.int32],
    shape: tuple[int, int, int],
    cdf: NDArray[np.int32],
    sizes: NDArray[np.int32],
    offsets: NDArray[np.int32],
    map_: NDArray[np.uint8],
    near_limits: NDArray[np.int32],
    activity_limits: NDArray[np.int32],
) -> None: ...
def cost(
    symbols: NDArray[np.int32],
    slot_costs: NDArray[np.int32],
    sizes: NDArray[np.int32],
    offsets: NDArray[np.int32],
) -> int: ...
