# SPDX-License-Identifier: Apache-2.0
"""Write an encoder in int8 for CPUs: from the camera's bytes to the last addition it computes in integers.

ONNX Runtime runs the Q/DQ form that TensorRT wants slower than float, since it fuses a ReLU only with unsigned
integers. So this graph names ONNX Runtime's integer kernels itself: QLinearConv, and QLinearAdd of com.microsoft. The
frame's bytes are the first activations, without a conversion; the first convolutions read four pixels at a time as
twelve channels, since kernels want multiples of four.
"""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import cast

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper
from torch import Tensor, nn

from frankensplit.models.encoder import DownBlock, Encoder, normalise
from frankensplit.models.graph import Graph, array_of, finish_symbols
from frankensplit.models.int8 import Grid, Int8Conv

GREY = 116  # the byte that zero padding stands for; near the mean of each colour
SIGNED_ZERO = 128  # zero of signed activations, which are stored as uint8, too
PIXELS = 4  # pixels that the first convolutions read at a time


def fold_normalisation(encoder: Encoder) -> Encoder:
    """Return the encoder for frames as bytes minus ``GREY``: normalisation lies in its first convolutions."""
    folded = copy.deepcopy(encoder)
    mean, std = 255 * torch.tensor(normalise.mean), 255 * torch.tensor(normalise.std)
    with torch.no_grad():
        for conv in folded.modules():
            if isinstance(conv, nn.Conv2d) and conv.in_channels == 3:
                assert conv.bias is not None
                shift = ((GREY - mean) / std).view(1, 3, 1, 1)
                conv.bias += (conv.weight * shift).sum((1, 2, 3))
                conv.weight /= std.view(1, 3, 1, 1)
    return folded


def as_read(frame: NDArray[np.uint8]) -> Tensor:
    """Return a frame uint8 ``(H, W, 3)`` as a folded encoder reads it, float ``(1, 3, H, W)``."""
    return torch.from_numpy(frame).permute(2, 0, 1)[None].float() - GREY


def integer_graph(encoder: Encoder, medians: Tensor) -> onnx.ModelProto:
    """Return the graph, with the ends of ``onnx_graph.encoder_graph``.

    Args:
        encoder: folded, then quantised in the form ``int8.CPU``.
        medians: float ``(C,)``, of the entropy model.
    """
    graph = _IntegerGraph()
    x = graph.node("Reshape", ["frame", graph.constant([0, 0, -1, 3 * PIXELS], np.int64)])
    x = graph.node("Transpose", [x], perm=[0, 3, 1, 2])
    last = _nano(graph, x, encoder) if isinstance(encoder.blocks[0], Int8Conv) else _blocks(graph, x, encoder)
    finish_symbols(graph, last, medians)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return graph.model(encoder.channels, opsets)


def _nano(graph: _IntegerGraph, x: str, encoder: Encoder) -> str:
    modules = [module for module in encoder.blocks if isinstance(module, Int8Conv)]
    for module, following in pairwise(modules):
        x = graph.conv(x, module, _known(following.inputs))
    outputs = _known(modules[-1].outputs)
    return graph.to_float(graph.conv(x, modules[-1], outputs), outputs)


def _blocks(graph: _IntegerGraph, x: str, encoder: Encoder) -> str:
    blocks = [_Block(block) for block in encoder.blocks if isinstance(block, DownBlock)]
    for block, following in pairwise(blocks):
        y, skip = _branches(graph, x, block)
        sides = (y, _known(block.conv2.outputs)), (skip, _known(block.skip.outputs))
        x = graph.add(*sides, _known(following.conv1.inputs))
    y, skip = _branches(graph, x, blocks[-1])
    last = blocks[-1]
    parts = [graph.to_float(y, _known(last.conv2.outputs)), graph.to_float(skip, _known(last.skip.outputs))]
    return graph.node("Add", parts)


def _branches(graph: _IntegerGraph, x: str, block: _Block) -> tuple[str, str]:
    y = graph.conv(x, block.conv1, _known(block.conv2.inputs))
    y = graph.conv(y, block.conv2, _known(block.conv2.outputs))
    return y, graph.conv(x, block.skip, _known(block.skip.outputs))


class _Block:
    """The convolutions of a quantised block."""

    def __init__(self, block: DownBlock) -> None:
        self.conv1, self.conv2, self.skip = (
            cast("Int8Conv", block.get_submodule(name)) for name in ("conv1", "conv2", "skip")
        )


def _known(grid: Grid | None) -> Grid:
    assert grid is not None  # int8.CPU rounds there
    return grid


class _IntegerGraph(Graph):
    """Integer operations; an activation is uint8, its grid says what it means."""

    def conv(self, x: str, module: Int8Conv, outputs: Grid) -> str:
        """Convolve; a ReLU behind it is in an output grid that begins at 0."""
        conv, first = module.conv, module.inputs is None
        assert conv.bias is not None
        weight = torch.round(conv.weight / module.weights.scale).clamp(
            module.weights.low, module.weights.high
        )
        input_scale = torch.tensor(1.0) if module.inputs is None else module.inputs.scale
        weight_scale = module.weights.scale.flatten()
        bias = torch.round(conv.bias / (input_scale * weight_scale))
        output_scale = outputs.scale.flatten()
        # One scale per channel: the kernel takes only one, so the weights take the rest.
        if len(output_scale) > 1:
            weight_scale, output_scale = weight_scale / output_scale, torch.ones(1)
        kernel = array_of(weight)
        shape, strides, pads = list(conv.kernel_size), list(conv.stride), [int(conv.padding[0])] * 4
        if first:
            kernel, shape, strides, pads = _grouped(kernel)
            bias, weight_scale = bias.repeat(2), weight_scale.repeat(2)
        inputs = [
            x,
            *self._grid(input_scale, GREY if module.inputs is None else _zero(module.inputs)),
            self.constant(kernel, np.int8),
            self.constant(array_of(weight_scale)),
            self.constant(np.zeros(len(weight_scale)), np.int8),
            *self._grid(output_scale[0], _zero(outputs)),
            self.constant(array_of(bias), np.int32),
        ]
        y = self.node("QLinearConv", inputs, kernel_shape=shape, strides=strides, pads=pads)
        return self._ungrouped(y, conv.out_channels) if first else y

    def add(self, left: tuple[str, Grid], right: tuple[str, Grid], outputs: Grid) -> str:
        """Add two activations."""
        (a, grid_a), (b, grid_b) = left, right
        inputs = [a, *self._of(grid_a), b, *self._of(grid_b), *self._of(outputs)]
        return self.node("QLinearAdd", inputs, domain="com.microsoft")

    def to_float(self, x: str, grid: Grid) -> str:
        """Say in float what the integers mean, by channel."""
        scale = array_of(grid.scale.flatten())
        zeros = self.constant(np.full(len(scale), _zero(grid)), np.uint8)
        return self.node("DequantizeLinear", [x, self.constant(scale), zeros], axis=1)

    def _of(self, grid: Grid) -> list[str]:
        return self._grid(grid.scale.flatten()[0], _zero(grid))

    def _grid(self, scale: Tensor, zero: int) -> list[str]:
        return [self.constant(array_of(scale)), self.constant(zero, np.uint8)]

    def _ungrouped(self, y: str, channels: int) -> str:
        """Two output pixels lie side by side as channels: make them pixels again."""
        y = self.node("Transpose", [y], perm=[0, 2, 3, 1])
        y = self.node("Reshape", [y, self.constant([0, 0, -1, channels], np.int64)])
        return self.node("Transpose", [y], perm=[0, 3, 1, 2])


def _zero(grid: Grid) -> int:
    return 0 if grid.low == 0 else SIGNED_ZERO


def _grouped(weight: NDArray[np.float32]) -> tuple[NDArray[np.float32], list[int], list[int], list[int]]:
    """Turn a kernel of stride 2 on 3 channels into one on groups of four pixels that gives two output pixels.

    Returns kernel ``(2 O, 12, k, 2 or 1)``, its shape, strides and pads.
    """
    outputs, colours, rows, columns = weight.shape
    groups = 2 if columns == 3 else 1  # the group to the left is needed for its last pixel only
    kernel = np.zeros((2, outputs, PIXELS, colours, rows, groups), np.float32)
    for half in range(2):
        for column in range(columns):
            pixel = 2 * half + column - columns // 2
            group = groups - 1 if pixel >= 0 else groups - 2
            kernel[half, :, pixel % PIXELS, :, :, group] = weight[..., column]
    pads = [rows // 2, groups - 1, 0, 0]
    return kernel.reshape(2 * outputs, PIXELS * colours, rows, groups), [rows, groups], [2, 1], pads
