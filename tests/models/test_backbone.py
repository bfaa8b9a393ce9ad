# SPDX-License-Identifier: Apache-2.0
"""The cut leaves the network what it was, and the blueprint fits into the gap."""

from __future__ import annotations

import pytest
import torch

from frankensplit.errors import BundleError
from frankensplit.models.backbone import build_backbone, freeze
from frankensplit.models.blueprints import build_blueprint
from frankensplit.models.timm_import import timm


def test_cut_backbone_computes_what_timm_does():
    torch.manual_seed(0)
    backbone = build_backbone("convnext_atto", ls_init_value=0.5).eval()
    torch.manual_seed(0)
    whole = timm.create_model("convnext_atto", num_classes=0, ls_init_value=0.5).eval()
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        features = backbone(image)
        expected = whole.stages(whole.stem(image))
    assert torch.equal(features[-1], expected)
    assert [tuple(f.shape[1:]) for f in features] == [(80, 8, 12), (160, 4, 6), (320, 2, 3)]


def test_blueprint_gives_the_shape_of_the_shallow_features():
    backbone = build_backbone("convnext_atto").eval()
    blueprint = build_blueprint(
        "convnext", latent_channels=48, target_channels=backbone.channels[0], widths=[64, 96], depths=[2, 4]
    )
    image = torch.zeros(2, 3, 64, 96)
    latent = torch.zeros(2, 48, 8, 12)
    assert blueprint(latent).shape == backbone.shallow(image).shape


def test_frozen_tail_stays_bit_for_bit():
    backbone = build_backbone("convnext_atto")
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    freeze(backbone)
    latent = torch.randn(1, 80, 8, 8, requires_grad=True)
    backbone.tail(latent)[-1].sum().backward()
    assert all(p.grad is None for p in backbone.parameters())
    assert all(torch.equal(before[name], value) for name, value in backbone.state_dict().items())


@pytest.mark.parametrize("name", ["vgg16", "convnext_gigantic"])
def test_unknown_backbone_is_refused(name):
    with pytest.raises(BundleError, match=name):
        build_backbone(name)
