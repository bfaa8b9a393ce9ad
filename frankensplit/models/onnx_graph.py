# SPDX-License-Identifier: Apache-2.0
"""Write the encoder as ONNX, node by node: uint8 frame in, int32 symbols out, in fp32, fp16 or int8.

Written by hand rather than traced, so that the graph is the same bytes each time and holds only what every runtime
has: Cast, Transpose, Sub, Mul, Conv, Relu, Add, Round, Clip, QuantizeLinear, DequantizeLinear (opset 17, IR 8, which
TensorRT 10.3 reads). Normalisation and rounding are float32 in every precision.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from frankensplit.edge.onnx_file import read_encoder_file
from frankensplit.errors import BundleError, shown
from frankensplit.kinds import NEXT
from frankensplit.models.encoder import CHANNELS, DownBlock, Encoder, normalise
from frankensplit.models.graph import Graph, array_of, finish_symbols
from frankensplit.models.int8 import Int8Conv


def encoder_graph(encoder: Encoder, medians: Tensor, *, half: bool = False) -> onnx.ModelProto:
    """Return the graph of an encoder.

    Inputs are ``frame`` uint8 ``[1, H, W, 3]``, whose sides are free multiples of 32, and ``scale`` float32 ``[1]``,
    1 over the step of the quality level; output is ``symbols`` int32 ``[1, C, H/8, W/8]``: the latent minus the
    channel's median, times the scale, rounded half to even.

    Args:
        encoder: the trained encoder; convolutions that are an :class:`Int8Conv` are int8.
        medians: float ``(C,)``, of the entropy model.
        half: convolutions in float16.
    """
    graph = _Graph(half)
    y = graph.node("Cast", ["frame"], to=TensorProto.FLOAT)
    y = graph.node("Transpose", [y], perm=[0, 3, 1, 2])
    y = graph.node("Sub", [y, graph.constant(255 * np.array(normalise.mean).reshape(1, 3, 1, 1))])
    y = graph.node("Mul", [y, graph.constant(1 / (255 * np.array(normalise.std).reshape(1, 3, 1, 1)))])
    if half:
        y = graph.node("Cast", [y], to=TensorProto.FLOAT16)
    for block in encoder.blocks:
        y = _block(graph, y, block)
    if half:
        y = graph.node("Cast", [y], to=TensorProto.FLOAT)
    finish_symbols(graph, y, medians)
    return graph.model(encoder.channels, [helper.make_opsetid("", 17)])


def read_encoder(path: Path, size: str) -> tuple[Encoder, Tensor]:
    """Return the encoder of such a graph as a network, and the medians that it subtracts, float ``(C,)``.

    Args:
        path: ``encoder.onnx`` of a codec.
        size: the encoder's size, as ``codec.json`` names it.

    Raises:
        BundleError: the graph is of another network.
    """
    if not isinstance(size, str) or size not in CHANNELS:
        raise BundleError(
            f"codec.json names encoder {shown(size)}, expected one of {', '.join(CHANNELS)}; {NEXT}"
        )
    graph = onnx.load_model_from_string(read_encoder_file(path)).graph
    try:
        return _network_of(graph, size)
    except (IndexError, KeyError, RuntimeError, TypeError, ValueError) as err:
        raise BundleError(f"{path} is not an encoder of size {size!r}: {err}; {NEXT}") from err


def _network_of(graph: onnx.GraphProto, size: str) -> tuple[Encoder, Tensor]:
    constants = {one.name: torch.from_numpy(numpy_helper.to_array(one).copy()) for one in graph.initializer}
    kinds = [node.op_type for node in graph.node]
    between = kinds[kinds.index("Conv") + 1] == "Relu"
    nodes = [node for node in graph.node if node.op_type == "Conv"]
    channels = len(constants[nodes[-1].input[1]])
    if not 1 <= channels <= CHANNELS[size]:
        raise ValueError(f"it has {channels} channels, expected 1 to {CHANNELS[size]}")
    encoder = Encoder(size, between, channels=channels)
    modules = [module for module in encoder.modules() if isinstance(module, nn.Conv2d)]
    if len(nodes) != len(modules) or kinds.count("Sub") != 2:
        raise ValueError(f"it has {len(nodes)} convolutions, expected {len(modules)}")
    for module, node in zip(modules, nodes, strict=True):
        weight, bias = (constants[name] for name in node.input[1:])
        module.load_state_dict({"weight": weight, "bias": bias})
    last = next(node for node in reversed(graph.node) if node.op_type == "Sub")
    return encoder, constants[last.input[1]].flatten()


def _block(graph: _Graph, x: str, block: nn.Module) -> str:
    if isinstance(block, (nn.Conv2d, Int8Conv)):
        return graph.conv(x, block)
    if isinstance(block, nn.ReLU):
        return graph.node("Relu", [x])
    assert isinstance(block, DownBlock)
    y = graph.conv(x, block.conv1)
    y = graph.node("Relu", [y]) if block.act_between else y
    y = graph.node("Relu", [graph.conv(y, block.conv2)])
    return graph.node("Add", [y, graph.conv(x, block.skip)])


class _Graph(Graph):
    """Convolutions in the encoder's precision."""

    def __init__(self, half: bool) -> None:
        super().__init__()
        self._float = np.float16 if half else np.float32
        self._rounded: dict[str, str] = {}  # activations that two convolutions read are rounded once

    def conv(self, x: str, module: nn.Module) -> str:
        conv = module.conv if isinstance(module, Int8Conv) else module
        assert isinstance(conv, nn.Conv2d) and conv.bias is not None
        if isinstance(module, Int8Conv):
            assert module.inputs is not None
            weight = self._round(self.constant(array_of(conv.weight)), module.weights.scale.flatten(), axis=0)
            x = self._round_once(x, module.inputs.scale)
        else:
            weight = self.constant(array_of(conv.weight), self._float)
        inputs = [x, weight, self.constant(array_of(conv.bias), self._float)]
        pad = int(conv.padding[0])
        return self.node("Conv", inputs, kernel_shape=conv.kernel_size, strides=conv.stride, pads=[pad] * 4)

    def _round_once(self, x: str, scale: Tensor) -> str:
        if x not in self._rounded:
            self._rounded[x] = self._round(x, scale)
        return self._rounded[x]

    def _round(self, x: str, scale: Tensor, **axis: Any) -> str:
        """Round to int8 and back; runtimes fuse the pair with the convolution behind it."""
        factors = [self.constant(array_of(scale)), self.constant(np.zeros_like(array_of(scale)), np.int8)]
        rounded = self.node("QuantizeLinear", [x, *factors], **axis)
        return self.node("DequantizeLinear", [rounded, *factors], **axis)
