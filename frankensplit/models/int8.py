# SPDX-License-Identifier: Apache-2.0
"""Round an encoder to int8 after training: symmetric, weights per output channel, biases and the latent in float.

The quantised encoder is a torch network that rounds as a runtime does, so it can be measured, and trained further:
gradients pass through the rounding as if it were not there.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from frankensplit.models.encoder import Encoder, normalise

LIMIT = 127  # symmetric: -128 is not used
CLIPS = torch.linspace(0.3, 1.0, 71)  # shares of the largest magnitude, one of which becomes the range
BINS = 4096


class Int8Conv(nn.Module):
    """A convolution whose inputs and weights are rounded to integers times a scale; zero-points are 0.

    Args:
        conv: the convolution; its bias stays in float.
        inputs: scale of what it reads.
    """

    def __init__(self, conv: nn.Conv2d, inputs: float) -> None:
        super().__init__()
        self.conv = conv
        self.inputs: Tensor
        self.weights: Tensor
        self.register_buffer("inputs", torch.tensor(inputs))
        self.register_buffer("weights", _weight_scales(conv.weight.detach()))

    def forward(self, x: Tensor) -> Tensor:
        """Map as the convolution does."""
        weight = _rounded(self.conv.weight, self.weights.view(-1, 1, 1, 1))
        y: Tensor = torch.func.functional_call(self.conv, {"weight": weight}, (_rounded(x, self.inputs),))
        return y


@torch.no_grad()
def quantise(encoder: Encoder, frames: Iterable[NDArray[np.uint8]], in_float: Sequence[int] = ()) -> Encoder:
    """Return the encoder with its convolutions in int8.

    Ranges are those of least squared error; then each bias takes up the mean error that rounding makes.

    Args:
        encoder: the trained encoder, on the CPU; stays as it is.
        frames: uint8 ``(H, W, 3)`` as the network gets them, of the training set.
        in_float: numbers of the convolutions that stay in float, in the graph's order.
    """
    images = [normalise(torch.from_numpy(frame).permute(2, 0, 1)[None]) for frame in frames]
    chosen = [name for n, name in enumerate(_names(encoder)) if n not in in_float]
    quantised = copy.deepcopy(encoder).eval()
    for name, scale in zip(chosen, _input_scales(encoder, chosen, images), strict=True):
        _replace(quantised, name, Int8Conv(quantised.get_submodule(name), scale))  # type: ignore[arg-type]
    for name in chosen:
        module = quantised.get_submodule(name)
        assert isinstance(module, Int8Conv) and module.conv.bias is not None
        module.conv.bias += _mean_output(encoder, name, images) - _mean_output(quantised, name, images)
    return quantised


def _names(encoder: Encoder) -> list[str]:
    return [name for name, module in encoder.named_modules() if isinstance(module, nn.Conv2d)]


def _replace(encoder: Encoder, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(encoder.get_submodule(parent), child, module)


def _rounded(x: Tensor, scale: Tensor) -> Tensor:
    """Round and clip; the gradient is that of clipping alone."""
    clipped = torch.clamp(x, -LIMIT * scale, LIMIT * scale)
    return clipped + (torch.round(clipped / scale) * scale - clipped).detach()


def _weight_scales(weight: Tensor) -> Tensor:
    """Return the scale ``(O,)`` of each output channel that rounds it with the least squared error."""
    flat = weight.flatten(1)
    scales = flat.abs().amax(1).clamp_min(1e-12) / LIMIT * CLIPS[:, None]  # (clips, O)
    errors = torch.stack([((flat - _rounded(flat, one[:, None])) ** 2).sum(1) for one in scales])
    return scales.gather(0, errors.argmin(0, keepdim=True))[0]


def _input_scales(encoder: Encoder, names: Sequence[str], images: Sequence[Tensor]) -> list[float]:
    """Return the scale of what each convolution reads that rounds it with the least squared error."""
    scales = []
    for name in names:
        seen: list[Tensor] = []
        module = encoder.get_submodule(name)
        hook = module.register_forward_pre_hook(lambda _, args, seen=seen: seen.append(args[0].abs()))
        for image in images:
            encoder(image)
        hook.remove()
        scales.append(_best_scale(seen))
    return scales


def _best_scale(magnitudes: Sequence[Tensor]) -> float:
    largest = max(float(one.max()) for one in magnitudes)
    counts = sum(torch.histc(one, BINS, 0, largest).double() for one in magnitudes)
    centres = (torch.arange(BINS).double() + 0.5) * largest / BINS
    scales = largest / LIMIT * CLIPS
    errors = [float((counts * (centres - _rounded(centres, one)) ** 2).sum()) for one in scales]
    return float(scales[int(np.argmin(errors))])


def _mean_output(encoder: Encoder, name: str, images: Sequence[Tensor]) -> Tensor:
    """Return the mean of each channel that a convolution gives, ``(O,)``."""
    means: list[Tensor] = []
    module = encoder.get_submodule(name)
    hook = module.register_forward_hook(lambda _m, _args, y: means.append(y.mean((0, 2, 3))))
    for image in images:
        encoder(image)
    hook.remove()
    return torch.stack(means).mean(0)
