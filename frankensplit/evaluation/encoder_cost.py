# SPDX-License-Identifier: Apache-2.0
"""Count what an ONNX encoder costs: parameters and multiply-accumulates of its convolutions."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from frankensplit.edge.onnx_file import read_encoder_file


@dataclass(frozen=True)
class EncoderCost:
    """Weights and biases of all convolutions, and multiply-accumulates for one frame."""

    parameters: int
    macs: int


def encoder_cost(path: Path, height: int, width: int) -> EncoderCost | None:
    """Return the cost for a frame of ``height`` x ``width`` pixels, or None where the onnx package is missing."""
    try:
        import onnx
    except ImportError:
        return None
    model = onnx.load_model_from_string(read_encoder_file(path, (height, width)))
    for dimension, side in zip(
        model.graph.input[0].type.tensor_type.shape.dim, (1, height, width, 3), strict=True
    ):
        dimension.dim_value = side
    graph = onnx.shape_inference.infer_shapes(model).graph
    shapes = _shapes(graph)
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    # A weight is (out, in / groups, kernel height, kernel width): each value is used once an output pixel.
    macs = (prod(shapes[node.input[1]]) * prod(shapes[node.output[0]][2:]) for node in convolutions)
    parameters = (prod(shapes[name]) for node in convolutions for name in node.input[1:])
    return EncoderCost(sum(parameters), sum(macs))


def _shapes(graph: Any) -> dict[str, tuple[int, ...]]:
    """Return the shape of each constant and each inferred value by name."""
    shapes = {constant.name: tuple(constant.dims) for constant in graph.initializer}
    for value in (*graph.value_info, *graph.output):
        shapes[value.name] = tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
    return shapes
