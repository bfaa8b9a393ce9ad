# SPDX-License-Identifier: Apache-2.0
"""Each backbone gets pictures as timm would give them to it; the robot's encoder keeps its own normalisation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from frankensplit.errors import BundleError
from frankensplit.models.backbone import build_backbone
from frankensplit.models.encoder import normalise
from frankensplit.models.normalisation import Normalisation
from frankensplit.models.timm_import import timm

MODELS = ("convnext_atto", "resnet18", "swin_s3_tiny_224", "tf_efficientnet_lite0", "mobilenetv3_small_100")


@pytest.mark.parametrize("model", MODELS)
def test_unmodified_backbone_answers_as_timm_does(model):
    torch.manual_seed(0)
    whole = timm.create_model(model, num_classes=9).eval()
    backbone = build_backbone(model, num_classes=9, weights=whole.state_dict()).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    config = timm.data.resolve_data_config(whole.pretrained_cfg)
    picture = timm.data.create_transform(**{**config, "crop_pct": 1.0})(Image.fromarray(pixels))
    images = torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0)
    with torch.no_grad():
        found = backbone.classify(backbone(backbone.normalise(images)))
        wanted = whole(picture.unsqueeze(0))
    assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


def test_encoder_and_backbone_differ():
    backbone = build_backbone("tf_efficientnet_lite0")
    assert backbone.normalise.mean == (0.5, 0.5, 0.5)
    assert normalise.mean == (0.485, 0.456, 0.406)


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"mean": [0.5, 0.5, 0.5]},
        {"mean": [0.5, 0.5], "std": [0.5, 0.5, 0.5]},
        {"mean": [0.5, 0.5, 0.5], "std": [0, 0.5, 0.5]},
        {"mean": [0.5, 0.5, float("nan")], "std": [0.5, 0.5, 0.5]},
        {"mean": ["a", 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
        {"mean": [True, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
    ],
)
def test_what_is_not_a_normalisation_is_named(value):
    with pytest.raises(BundleError, match="the backbone's"):
        Normalisation.of_manifest(value)


def test_manifest_round_trip():
    one = Normalisation((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert Normalisation.of_manifest(one.manifest()) == one
