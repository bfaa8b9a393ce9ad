# SPDX-License-Identifier: Apache-2.0
"""Count what a torch network costs: parameters, and multiply-accumulates of its convolutions and matrix products."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def parameters_of(*modules: nn.Module) -> int:
    """Return the number of parameters; what several modules share counts once."""
    return sum(p.numel() for p in {p for module in modules for p in module.parameters()})


def macs_of(module: nn.Module, *inputs: Any) -> tuple[int, Any]:
    """Return the multiply-accumulates of one call, and its output.

    Nothing is computed: weights and inputs are taken for their shapes (device ``meta``), and so is the output, which
    may be the next network's input. Activations and normalisations are not counted, as usual.
    """
    from torch.utils.flop_counter import FlopCounterMode

    state = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    shapes = {name: tensor.detach().to("meta") for name, tensor in state.items()}
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        output = torch.func.functional_call(module, shapes, tuple(_to_meta(value) for value in inputs))
    return counter.get_total_flops() // 2, output


def _to_meta(value: Any) -> Any:
    return value.to("meta") if isinstance(value, Tensor) else value
