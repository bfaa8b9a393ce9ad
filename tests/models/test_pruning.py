# SPDX-License-Identifier: Apache-2.0
"""Latent channels that carry nothing are taken out, and nothing else changes."""

from __future__ import annotations

import onnx
import pytest
import torch

from frankensplit.evaluation.network_cost import parameters_of
from frankensplit.models.blueprints import build_blueprint
from frankensplit.models.encoder import Encoder
from frankensplit.models.onnx_graph import encoder_graph, read_encoder
from frankensplit.models.pruning import keep_channels

KEPT = [0, 5, 17, 40]
FAMILIES = {
    "convnext": {"target_channels": 40, "widths": [16, 24], "depths": [1, 1]},
    "resnet": {"target_channels": 64, "depths": [1, 1], "bottleneck": False},
    "swin": {"target_channels": 32, "widths": [16, 16], "heads": [2, 2], "depths": [1, 1]},
}


def blueprint_of(family):
    return build_blueprint(family, latent_channels=48, **FAMILIES[family]).eval()


@pytest.mark.parametrize(("size", "act_between"), [("s", True), ("s", False), ("nano", True)])
def test_the_encoder_gives_the_channels_that_were_kept(tmp_path, size, act_between):
    torch.manual_seed(0)
    encoder, image = Encoder(size, act_between).eval(), torch.randn(1, 3, 64, 96)
    medians, before = torch.randn(48), parameters_of(encoder)
    with torch.no_grad():
        whole = encoder(image)
        keep_channels(encoder, blueprint_of("convnext"), KEPT, medians)
        assert torch.allclose(encoder(image), whole[:, KEPT], atol=1e-6)
    assert encoder.channels == len(KEPT) and parameters_of(encoder) < before
    onnx.save(encoder_graph(encoder, medians[KEPT]), tmp_path / "encoder.onnx")
    again, medians_again = read_encoder(tmp_path / "encoder.onnx", size)
    with torch.no_grad():
        assert torch.equal(again(image), encoder(image)) and torch.equal(medians_again, medians[KEPT])


@pytest.mark.parametrize("family", FAMILIES)
def test_the_blueprint_takes_the_others_for_their_medians(family):
    torch.manual_seed(0)
    blueprint, medians = blueprint_of(family), torch.randn(48)
    latent = medians.view(1, -1, 1, 1).repeat(1, 1, 30, 30)
    latent[:, KEPT] += torch.randn(1, len(KEPT), 30, 30)
    first = blueprint.stages[0]
    with torch.no_grad():
        whole = first(latent)
        keep_channels(Encoder(), blueprint, KEPT, medians)
        pruned = first(latent[:, KEPT])
        assert torch.allclose(pruned[..., 2:-2, 2:-2], whole[..., 2:-2, 2:-2], atol=1e-5)
        assert blueprint(latent[:, KEPT]).shape[1] == FAMILIES[family]["target_channels"]


@pytest.mark.parametrize("family", FAMILIES)
def test_where_medians_are_0_nothing_changes_at_the_border_either(family):
    torch.manual_seed(0)
    blueprint, latent = blueprint_of(family), torch.zeros(1, 48, 8, 12)
    latent[:, KEPT] = torch.randn(1, len(KEPT), 8, 12)
    with torch.no_grad():
        whole = blueprint(latent)
        keep_channels(Encoder(), blueprint, KEPT, torch.zeros(48))
        assert torch.allclose(blueprint(latent[:, KEPT]), whole, atol=1e-5)


def test_its_weights_fit_a_blueprint_built_for_fewer_channels():
    blueprint = blueprint_of("convnext")
    keep_channels(Encoder(), blueprint, KEPT, torch.zeros(48))
    build_blueprint("convnext", latent_channels=len(KEPT), **FAMILIES["convnext"]).load_state_dict(
        blueprint.state_dict()
    )
