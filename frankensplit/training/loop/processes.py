# SPDX-License-Identifier: Apache-2.0
"""Where a training runs: one device, or one process a device as ``torchrun`` starts them; and in which precision."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision, Precision
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy

from frankensplit.errors import RecipeError

PrecisionName = Literal["fp32", "bf16", "fp16"]
MIXED: dict[str, Literal["bf16-mixed", "16-mixed"]] = {"bf16": "bf16-mixed", "fp16": "16-mixed"}

# Both tell on every start what `run.json` and the documentation tell once.
logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
warnings.filterwarnings("ignore", message="find_unused_parameters=True was specified in DDP constructor")


class Autocast(MixedPrecision):
    """Mixed precision for operations only: Fabric's would also round a batch's float targets to 16 bits."""

    def convert_input(self, data: Any) -> Any:
        """Return the batch as it is."""
        return data

    @property
    def may_overflow(self) -> bool:
        """Whether gradients that are not finite are the search for a loss scale, which skips such steps."""
        return self.scaler is not None and self.scaler.get_scale() > 1


def open_fabric(device: str, precision: PrecisionName = "fp32") -> Fabric:
    """Return Fabric for a device, or for this process of those that ``torchrun`` started.

    Args:
        device: ``cpu``, ``cuda`` or, with one process, ``cuda:1`` and the like.
        precision: ``bf16`` and ``fp16`` are for operations, weights stay float32.

    Raises:
        RecipeError: the device is not there, several processes are to share one, or it has no ``fp16``.
    """
    place = torch.device(device)
    if place.type == "cuda" and not torch.cuda.is_available():
        raise RecipeError(
            f"device {device!r}: no GPU that torch {torch.__version__} can use; try --device cpu"
        )
    if precision == "fp16" and place.type == "cpu":
        raise RecipeError("schedule.precision is fp16, which CPUs do not train in: take bf16 or fp32")
    if precision == "bf16" and place.type == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        print(
            "this CPU has no bfloat16 instructions: schedule.precision fp32 is up to ten times faster",
            file=sys.stderr,
        )
    plugin = Autocast(MIXED[precision], place.type) if precision != "fp32" else Precision()
    world, here = _count("WORLD_SIZE"), _count("LOCAL_WORLD_SIZE")
    if world == 1:
        index = 1 if place.type == "cpu" else [place.index or 0]
        fabric = Fabric(accelerator=place.type, devices=index, plugins=[plugin])
    else:
        if place.index is not None:
            raise RecipeError(f"device {device!r} for each of {world} processes: name {place.type!r} only")
        # Some parameters have no gradient: quantiles are fitted at export, a batch may hold nothing for a head.
        fabric = Fabric(
            accelerator=place.type,
            devices=here,
            num_nodes=world // here,
            strategy=DDPStrategy(find_unused_parameters=True),
            plugins=[plugin, TorchElasticEnvironment()],
        )
    fabric.launch()
    return fabric


@contextmanager
def first_process_first(device: str) -> Iterator[str]:
    """Let the first process do the body alone and then the others, who find the files that it wrote.

    Yields:
        The device of this process: ``cuda`` becomes ``cuda:3`` in the fourth process of a machine.
    """
    if _count("WORLD_SIZE") == 1:
        yield device
        return
    fabric = open_fabric(device)
    with fabric.rank_zero_first():
        yield str(fabric.device)


def _count(variable: str) -> int:
    return int(os.environ.get(variable, "1"))
