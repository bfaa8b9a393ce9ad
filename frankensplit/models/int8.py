# SPDX-License-Identifier: Apache-2.0
"""Round an encoder to int8 after training, as a torch network that rounds as the runtime will.

So it can be measured, and trained further: gradients pass through the rounding as if it were not there.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from frankensplit.models.encoder import DownBlock, Encoder

CLIPS = torch.linspace(0.3, 1.0, 71)  # shares of the largest magnitude, one of which becomes the range
BINS = 4096
SIGNED, UNSIGNED = (-128, 127), (0, 255)


@dataclass(frozen=True)
class Form:
    """How a runtime wants its integers.

    Args:
        weights: least and largest integer of a weight.
        unsigned: activations that are never negative use 0 to 255; else all are -128 to 127.
        outputs: what is added behind a convolution, or is the latent, is rounded too.
        exact_frame: the network reads the frame's own integers.
    """

    weights: tuple[int, int]
    unsigned: bool
    outputs: bool
    exact_frame: bool


# NVIDIA's rule: zero-points are 0, and nothing behind a convolution is rounded.
SYMMETRIC = Form(weights=(-128, 127), unsigned=False, outputs=False, exact_frame=False)
# Seven bits of weight, since AVX2 adds pairs of products in 16 bits.
CPU = Form(weights=(-64, 64), unsigned=True, outputs=True, exact_frame=True)


class Grid(nn.Module):
    """The values that integers ``low`` to ``high`` times a scale can say.

    Args:
        scale: float, broadcast with what is rounded.
        low, high: inclusive.
    """

    def __init__(self, scale: Tensor, low: int, high: int) -> None:
        super().__init__()
        self.scale: Tensor
        self.register_buffer("scale", scale.float())
        self.low, self.high = low, high

    def forward(self, x: Tensor) -> Tensor:
        """Round to the grid; the gradient is that of clipping alone."""
        clipped = torch.clamp(x, self.low * self.scale, self.high * self.scale)
        return clipped + (torch.round(clipped / self.scale) * self.scale - clipped).detach()


class Int8Conv(nn.Module):
    """A convolution with rounded weights; ``inputs`` and ``outputs`` are None where they are not rounded."""

    def __init__(self, conv: nn.Conv2d, weights: Grid, inputs: Grid | None, outputs: Grid | None) -> None:
        super().__init__()
        self.conv, self.weights, self.inputs, self.outputs = conv, weights, inputs, outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map as the convolution does."""
        weight = self.weights(self.conv.weight)
        x = self.inputs(x) if self.inputs else x
        y: Tensor = torch.func.functional_call(self.conv, {"weight": weight}, (x,))
        return self.outputs(y) if self.outputs else y


@torch.no_grad()
def quantise(encoder: Encoder, images: Sequence[Tensor], form: Form) -> Encoder:
    """Return the encoder with int8 convolutions; itself stays as it is.

    Ranges are those of least squared error; then each bias takes up the mean error that rounding makes.

    Args:
        encoder: the trained encoder, on the CPU.
        images: float ``(1, 3, H, W)`` of the training set, as the encoder reads them; of any sizes.
        form: how the runtime wants its integers.
    """
    quantised = copy.deepcopy(encoder).eval()
    names = [name for name, module in encoder.named_modules() if isinstance(module, nn.Conv2d)]
    inputs, outputs = _values(encoder, names, images)
    for name in names:
        conv = encoder.get_submodule(name)
        assert isinstance(conv, nn.Conv2d)
        grid = None if form.exact_frame and conv.in_channels == 3 else _grid(_joined(inputs[name]), form)
        behind = _output_grid(encoder, name, _joined(outputs[name]), form)
        _replace(quantised, name, Int8Conv(copy.deepcopy(conv), _weight_grid(conv, form), grid, behind))
    for name in names:
        _correct_bias(quantised, name, outputs[name], images)
    return quantised


def _values(
    encoder: Encoder, names: Sequence[str], images: Sequence[Tensor]
) -> tuple[dict[str, list[Tensor]], dict[str, list[Tensor]]]:
    """Return what each convolution reads and gives for each image, ``(1, C, h, w)``."""
    inputs: dict[str, list[Tensor]] = {name: [] for name in names}
    outputs: dict[str, list[Tensor]] = {name: [] for name in names}

    def note(name: str) -> torch.utils.hooks.RemovableHandle:
        def hook(_module: nn.Module, args: tuple[Tensor, ...], y: Tensor) -> None:
            inputs[name].append(args[0])
            outputs[name].append(y)

        return encoder.get_submodule(name).register_forward_hook(hook)

    handles = [note(name) for name in names]
    for image in images:
        encoder(image)
    for handle in handles:
        handle.remove()
    return inputs, outputs


def _joined(values: list[Tensor]) -> Tensor:
    """Return the values of all images, which may differ in size, as one ``(1, C, 1, pixels)``."""
    return torch.cat([one.flatten(2) for one in values], 2).unsqueeze(2)


def _output_grid(encoder: Encoder, name: str, values: Tensor, form: Form) -> Grid | None:
    """Return how a convolution's output is rounded where no other convolution reads it at once.

    The latent's parts are rounded by channel: some channels span a hundredth of others.
    """
    if not form.outputs:
        return None
    last_block = encoder.blocks[-1]
    module = encoder.get_submodule(name)
    if module is last_block:
        return _channel_grid(values, signed=True)
    parent = encoder.get_submodule(name.rpartition(".")[0])
    if not isinstance(parent, DownBlock) or module is parent.conv1:
        return None
    if module is parent.conv2:
        values = torch.relu(values)
    signed = module is parent.skip
    return _channel_grid(values, signed) if parent is last_block else _grid(values, form)


def _grid(values: Tensor, form: Form) -> Grid:
    signed = not form.unsigned or bool((values < 0).any())
    low, high = SIGNED if signed else UNSIGNED
    magnitudes = values.abs()
    largest = float(magnitudes.max().clamp_min(1e-6))
    counts = torch.histc(magnitudes, BINS, 0, largest).double()
    centres = (torch.arange(BINS).double() + 0.5) * largest / BINS
    scales = largest / high * CLIPS
    errors = [float(counts @ (centres - Grid(scale, low, high)(centres)) ** 2) for scale in scales]
    return Grid(scales[int(np.argmin(errors))], low, high)


def _channel_grid(values: Tensor, signed: bool) -> Grid:
    low, high = SIGNED if signed else UNSIGNED
    largest = values.abs().amax((0, 2, 3), keepdim=True)
    return Grid(largest.clamp_min(1e-3) / high, low, high)


def _weight_grid(conv: nn.Conv2d, form: Form) -> Grid:
    """Return the grid of each output channel with the least squared error."""
    flat = conv.weight.detach().flatten(1)
    scales = flat.abs().amax(1).clamp_min(1e-12) / form.weights[1] * CLIPS[:, None]  # (clips, O)
    grids = [Grid(one[:, None], *form.weights) for one in scales]
    errors = torch.stack([((flat - grid(flat)) ** 2).sum(1) for grid in grids])
    best = scales.gather(0, errors.argmin(0, keepdim=True))[0]
    return Grid(best.view(-1, 1, 1, 1), *form.weights)


def _correct_bias(quantised: Encoder, name: str, wanted: Sequence[Tensor], images: Sequence[Tensor]) -> None:
    """Shift a convolution's bias so that its mean output, not yet rounded, is the one without rounding."""
    module = quantised.get_submodule(name)
    assert isinstance(module, Int8Conv) and module.conv.bias is not None
    means: list[Tensor] = []
    handle = module.conv.register_forward_hook(lambda _m, _args, y: means.append(y.mean((0, 2, 3))))
    for image in images:
        quantised(image)
    handle.remove()
    wanted_means = [y.mean((0, 2, 3)) for y in wanted]
    module.conv.bias += torch.stack(wanted_means).mean(0) - torch.stack(means).mean(0)


def _replace(encoder: Encoder, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(encoder.get_submodule(parent), child, module)
