# SPDX-License-Identifier: Apache-2.0
"""ONNX nodes and constants with numbered names, and the end that all encoders share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

SYMBOL_LIMIT = 2.0**20  # exact in float32, far inside the coder's range


class Graph:
    """A graph under construction; opset 17, IR 8, which TensorRT 10.3 reads."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def node(self, kind: str, inputs: list[str], output: str | None = None, **attributes: Any) -> str:
        """Add a node and return the name of its output."""
        output = output or f"t{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(kind, inputs, [output], name=f"{kind}_{len(self.nodes)}", **attributes)
        )
        return output

    def constant(self, value: ArrayLike, dtype: Any = np.float32) -> str:
        """Add a constant and return its name."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value).astype(dtype), name))
        return name

    def model(self, channels: int, opsets: Sequence[onnx.OperatorSetIdProto]) -> onnx.ModelProto:
        """Return the checked model from ``frame`` and ``scale`` to ``symbols``."""
        inputs = [
            helper.make_tensor_value_info("frame", TensorProto.UINT8, [1, "height", "width", 3]),
            helper.make_tensor_value_info("scale", TensorProto.FLOAT, [1]),
        ]
        symbols = helper.make_tensor_value_info(
            "symbols", TensorProto.INT32, [1, channels, "rows", "columns"]
        )
        graph = helper.make_graph(self.nodes, "encoder", inputs, [symbols], self.constants)
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="frankensplit")
        onnx.checker.check_model(model)
        return model


def finish_symbols(graph: Graph, latent: str, medians: Tensor) -> None:
    """Subtract the medians ``(C,)`` from a float32 latent, scale it by the level, round it half to even."""
    y = graph.node("Sub", [latent, graph.constant(medians.double().cpu().numpy().reshape(1, -1, 1, 1))])
    y = graph.node("Mul", [y, "scale"])
    y = graph.node("Round", [y])
    y = graph.node("Clip", [y, graph.constant(-SYMBOL_LIMIT), graph.constant(SYMBOL_LIMIT)])
    graph.node("Cast", [y], output="symbols", to=TensorProto.INT32)


def array_of(tensor: Tensor) -> NDArray[np.float32]:
    """Return a tensor's values for a constant."""
    return tensor.detach().float().cpu().numpy()
