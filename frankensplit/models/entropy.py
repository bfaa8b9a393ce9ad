# SPDX-License-Identifier: Apache-2.0
"""The factorized prior (Balle et al. 2018) of the compressai package: for training and for making tables only.

The package is imported without its ``__init__``, which would ask for many packages that the prior does not need.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from frankensplit.codec.tables import Tables
from frankensplit.errors import RuntimeUnavailable


def entropy_models() -> Any:
    """Return compressai's module of entropy models.

    Raises:
        RuntimeUnavailable: the package is missing.
    """
    if "compressai" not in sys.modules:
        spec = find_spec("compressai")
        if spec is None or spec.submodule_search_locations is None:
            raise RuntimeUnavailable("training needs compressai: pip install --no-deps compressai==1.2.8")
        package: Any = ModuleType("compressai")
        package.__spec__ = spec
        package.__path__ = list(spec.submodule_search_locations)
        package.get_entropy_coder = lambda: "ans"
        package.available_entropy_coders = lambda: ["ans"]
        sys.modules["compressai"] = package
    return importlib.import_module("compressai.entropy_models.entropy_models")


class FactorizedPrior(nn.Module):
    """One learned density a channel; rate of a latent in bits, tables for the integer coder."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bottleneck = entropy_models().EntropyBottleneck(channels)

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Return the latent with uniform noise of +-1/2 added, and its bits for each image ``(N,)``."""
        with torch.autocast(latent.device.type, enabled=False):  # densities need float32
            noisy, likelihoods = self.bottleneck(latent.float())
            return noisy, -likelihoods.log2().flatten(1).sum(1)

    def density_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the densities, without the quantiles."""
        return [p for name, p in self.bottleneck.named_parameters() if name != "quantiles"]

    def of(self, kept: Sequence[int]) -> FactorizedPrior:
        """Return the densities of some channels alone; tables have to be made anew."""
        chosen = FactorizedPrior(len(kept))
        for own, whole in zip(chosen.bottleneck.parameters(), self.bottleneck.parameters(), strict=True):
            own.data = whole.detach()[list(kept)].clone()
        return chosen

    @torch.no_grad()
    def fit_quantiles(self) -> None:
        """Fit medians and tails to the densities by bisection and build the integer tables."""
        self.bottleneck.update(force=True, update_quantiles=True)

    @property
    def medians(self) -> Tensor:
        """Median of each channel ``(C,)``: symbols are the latent minus it, rounded half to even."""
        medians: Tensor = self.bottleneck.quantiles[:, 0, 1].detach()
        return medians

    def tables(self) -> Tables:
        """Return the integer tables of the densities (after :meth:`fit_quantiles`)."""
        return Tables(
            cdf=_int32(self.bottleneck.quantized_cdf),
            sizes=_int32(self.bottleneck.cdf_length).reshape(-1),
            offsets=_int32(self.bottleneck.offset).reshape(-1),
        )


def _int32(tensor: Tensor) -> NDArray[np.int32]:
    return tensor.cpu().numpy().astype(np.int32)
