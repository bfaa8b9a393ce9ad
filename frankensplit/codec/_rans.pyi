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
