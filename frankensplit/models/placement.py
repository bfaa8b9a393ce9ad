# SPDX-License-Identifier: Apache-2.0
"""Put networks where they run, in the memory layout that convolutions like best."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


def place(module: M, device: str | torch.device) -> M:
    """Move a module to a device with channels-last weights; return the module."""
    untyped: Any = module  # torch's type hints do not know memory_format
    untyped.to(device, memory_format=torch.channels_last)
    return module
