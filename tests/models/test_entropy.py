# SPDX-License-Identifier: Apache-2.0
"""The prior's rate is what the integer coder spends."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
import torch

from frankensplit.codec import rans
from frankensplit.codec.rans import quantise
from frankensplit.models.entropy import FactorizedPrior

pytestmark = pytest.mark.skipif(find_spec("compressai") is None, reason="training needs compressai")


@pytest.fixture(scope="module")
def prior():
    """A prior fitted for a moment to Laplace latents of three widths."""
    torch.manual_seed(0)
    prior = FactorizedPrior(3)
    optimiser = torch.optim.Adam(prior.density_parameters(), lr=2e-2)
    for _ in range(150):
        loss = prior(_latent(64))[1].mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    prior.fit_quantiles()
    return prior


def _latent(side):
    scales = torch.tensor([0.5, 2.0, 5.0]).view(1, 3, 1, 1)
    return torch.distributions.Laplace(0.0, 1.0).sample((1, 3, side, side)) * scales + 0.3


def test_bytes_follow_the_training_rate(prior):
    latent = _latent(128)
    estimated_bits = prior(latent)[1].item()
    symbols = quantise((latent - prior.medians.view(1, -1, 1, 1))[0].numpy())
    payload = rans.encode(symbols, prior.tables())
    assert 8 * len(payload) == pytest.approx(estimated_bits, rel=0.03)


def test_quantiles_are_not_what_the_optimiser_moves(prior):
    names = {id(parameter) for parameter in prior.density_parameters()}
    assert id(prior.bottleneck.quantiles) not in names
    assert len(names) == len(list(prior.bottleneck.parameters())) - 1
    assert np.abs(prior.medians.numpy() - 0.3).max() < 0.5
