# SPDX-License-Identifier: Apache-2.0
"""Inputs and outputs that an engine of an encoder has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from frankensplit.edge.tensorrt.build import FRAME, SCALE
from frankensplit.errors import BundleError

SYMBOLS = "symbols"


@dataclass(frozen=True)
class Contract:
    """What is not the same in all encoders: the latent's channels, and whether there are quality levels."""

    channels: int
    has_scale: bool


def read_contract(trt: Any, engine: Any) -> Contract:
    """Return the contract of an engine; raises BundleError if it is of no encoder."""
    found = {
        name: _describe(trt, engine, name) for name in map(engine.get_tensor_name, range(_count(engine)))
    }
    frame, scale, symbols = found.get(FRAME), found.get(SCALE), found.get(SYMBOLS)
    takes_frames = frame is not None and frame[:2] == ("INPUT", "UINT8") and _is_frame(frame[2])
    gives_symbols = symbols is not None and symbols[:2] == ("OUTPUT", "INT32") and len(symbols[2]) == 4
    scaled = scale is None or scale == ("INPUT", "FLOAT", (1,))
    if takes_frames and gives_symbols and scaled and set(found) <= {FRAME, SCALE, SYMBOLS}:
        assert symbols is not None
        return Contract(symbols[2][1], scale is not None)
    raise BundleError(
        f"engine has {found}, expected {FRAME} INPUT UINT8 (1, H, W, 3), perhaps {SCALE} INPUT FLOAT (1,), and "
        f"{SYMBOLS} OUTPUT INT32 (1, C, h, w); export the codec again"
    )


def _count(engine: Any) -> int:
    return int(engine.num_io_tensors)


def _is_frame(shape: tuple[int, ...]) -> bool:
    return len(shape) == 4 and shape[0] == 1 and shape[3] == 3


def _describe(trt: Any, engine: Any, name: str) -> tuple[str, str, tuple[int, ...]]:
    modes = {trt.TensorIOMode.INPUT: "INPUT", trt.TensorIOMode.OUTPUT: "OUTPUT"}
    types = {trt.DataType.UINT8: "UINT8", trt.DataType.FLOAT: "FLOAT", trt.DataType.INT32: "INT32"}
    mode, dtype = engine.get_tensor_mode(name), engine.get_tensor_dtype(name)
    return (
        modes.get(mode, str(mode)),
        types.get(dtype, str(dtype)),
        tuple(int(side) for side in engine.get_tensor_shape(name)),
    )
