# SPDX-License-Identifier: Apache-2.0
"""Blueprints fit into the gap of every backbone of the paper, and cost no more than it says."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch
from safetensors import safe_open

from frankensplit.bundle import Bundle
from frankensplit.errors import BundleError
from frankensplit.evaluation.network_cost import parameters_of
from frankensplit.evaluation.table5 import (
    CLASSES,
    PAPER_PERCENT,
    PRIOR_PARAMETERS,
    default_blueprint,
    overhead_percent,
)
from frankensplit.models.backbone import build_backbone
from frankensplit.models.blueprints import build_blueprint, complete_arguments
from frankensplit.models.cuts import find_cut
from frankensplit.models.encoder import CHANNELS, Encoder
from frankensplit.models.entropy import FactorizedPrior
from frankensplit.models.timm_import import timm

SWIN = {"widths": [96, 192], "heads": [3, 4], "depths": [2, 2]}


@pytest.mark.parametrize("model", PAPER_PERCENT)
def test_every_backbone_of_the_paper(model):
    """Shapes and counts need no numbers: all is built on torch's meta device."""
    with torch.device("meta"), torch.no_grad():
        backbone, encoder = build_backbone(model, num_classes=CLASSES), Encoder()
        blueprint = default_blueprint(backbone, encoder.channels)
        image = torch.empty(2, 3, 224, 224)
        restored = blueprint(encoder(image))
        assert restored.shape == backbone.shallow(image).shape
        features = backbone.tail(restored)
        assert backbone.classify(features).shape == (2, CLASSES)
    assert [f.shape[2] for f in features] == [224 // stride for stride in backbone.strides]
    overhead = round(overhead_percent(backbone, encoder, blueprint), 2)
    if model.startswith("swin"):
        assert overhead == PAPER_PERCENT[model]
        assert parameters_of(blueprint) == 2_058_974
    else:
        assert 0 < overhead <= PAPER_PERCENT[model]


EFFICIENTNETS = ("tf_efficientnet_lite0", "tf_efficientnet_lite4", "efficientnet_b1", "mobilenetv2_100")


@pytest.mark.parametrize("model", EFFICIENTNETS)
def test_efficientnets_of_any_size(model):
    """Blueprints fit the gap at sizes whose padding differs from side to side."""
    with torch.device("meta"), torch.no_grad():
        backbone, encoder = build_backbone(model, num_classes=CLASSES), Encoder()
        blueprint = default_blueprint(backbone, encoder.channels)
        for size in ((224, 224), (288, 416), (384, 480)):
            image = torch.empty(1, 3, *size)
            restored = blueprint(encoder(image))
            assert restored.shape == backbone.shallow(image).shape
            assert backbone.classify(backbone.tail(restored)).shape == (1, CLASSES)


@pytest.mark.parametrize("model", [*PAPER_PERCENT, *EFFICIENTNETS, "mobilenetv3_large_100"])
def test_tail_is_timms_own(model):
    """The very parameters: not one is copied, changed or lost, and blueprints replace all that is not in the tail."""
    with torch.device("meta"):
        network = timm.create_model(model)
        parts = find_cut(model)[1].cut(network)
    tail = [p for module in (*parts.tail, parts.classifier) for p in module.parameters()]
    kept = {id(p) for p in tail}
    assert len(kept) == len(tail)
    assert {id(p) for p in network.parameters()} == kept | {id(p) for p in parts.shallow.parameters()}
    starts = {
        "swin": ("layers.2.blocks", "layers.3", "norm.", "head"),
        "convnext": ("stages.2", "stages.3", "head"),
        "resnet": ("layer3", "layer4", "fc"),
        "efficientnet": (*(f"blocks.{stage}." for stage in range(3, 9)), "conv_head", "bn2", "classifier"),
    }[find_cut(model)[0]]
    assert kept == {id(p) for name, p in network.named_parameters() if name.startswith(starts)}


def test_swin_is_the_published_one_layer_by_layer():
    blueprint = build_blueprint("swin", latent_channels=48, target_channels=384, **SWIN)
    counts = [parameters_of(stage) for stage in blueprint.stages]
    assert counts == [129_312, 224_694, 516_672, 891_080]
    assert (parameters_of(blueprint.merging), parameters_of(blueprint.norm)) == (296_448, 768)


@pytest.mark.parametrize("size", [(28, 28), (32, 40), (4, 6), (60, 48)])
def test_swin_takes_latents_that_windows_do_not_cover(size):
    torch.manual_seed(0)
    blueprint = build_blueprint("swin", latent_channels=48, target_channels=384, **SWIN).eval()
    latent = torch.randn(1, 48, *size)
    with torch.no_grad():
        restored = blueprint(latent)
    assert restored.shape == (1, 384, size[0] // 2, size[1] // 2)
    assert restored.isfinite().all()


def test_shifted_windows_exchange_what_they_see_but_not_around_the_edge():
    torch.manual_seed(0)
    stage = build_blueprint("swin", latent_channels=48, target_channels=384, **SWIN).eval().stages[1]
    x = torch.randn(1, 96, 28, 28)
    changed = x.clone()
    changed[..., :7] = 0  # the first column of windows
    with torch.no_grad():
        reached = (stage(x) - stage(changed)).abs().amax((0, 1, 2)) > 0
    # Shifted by 3, the windows hold columns 3 to 9, 10 to 16 ...
    assert reached[:10].all() and not reached[10:].any()


OTHERS = (
    "convnext_atto",
    "convnextv2_atto",
    "convnext_xlarge",
    "resnet18",
    "resnet34",
    "resnext50_32x4d",
    "swin_tiny_patch4_window7_224",
    "swin_large_patch4_window7_224",
)


@pytest.mark.parametrize("model", OTHERS)
def test_default_arguments_fit_other_backbones_too(model):
    with torch.device("meta"), torch.no_grad():
        backbone, image = build_backbone(model), torch.empty(1, 3, 256, 320)
        for size in CHANNELS:
            encoder = Encoder(size)
            restored = default_blueprint(backbone, encoder.channels)(encoder(image))
            assert restored.shape == backbone.shallow(image).shape


def test_resnet_blueprint_gives_nothing_negative():
    torch.manual_seed(0)
    arguments = {"latent_channels": 48, "target_channels": 128, "depths": [1, 1], "bottleneck": False}
    restored = build_blueprint("resnet", **arguments).eval()(torch.randn(1, 48, 8, 8))
    assert restored.min() == 0 and restored.max() > 0


@pytest.mark.parametrize("family", ["convnext", "resnet", "swin"])
def test_blueprint_learns_its_target(family):
    model = {"convnext": "convnext_atto", "resnet": "resnet18", "swin": "swin_tiny_patch4_window7_224"}[
        family
    ]
    torch.manual_seed(0)
    with torch.device("meta"):
        backbone = build_backbone(model)
    blueprint = default_blueprint(backbone, 48)
    side = 64 // backbone.strides[0]
    latent, target = torch.randn(1, 48, 8, 8), torch.randn(1, backbone.channels[0], side, side).relu()
    optimiser = torch.optim.Adam(blueprint.parameters(), lr=2e-3)
    losses = []
    for _ in range(12):
        loss = (blueprint(latent) - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_given_arguments_go_before_the_defaults():
    with torch.device("meta"):
        backbone = build_backbone("convnext_atto")
    assert complete_arguments("convnext", backbone, {}) == {"widths": [64, 96], "depths": [3, 3]}
    assert complete_arguments("convnext", backbone, {"depths": [2, 4]}) == {
        "widths": [64, 96],
        "depths": [2, 4],
    }


def test_blueprint_of_another_stride_is_refused():
    with torch.device("meta"):
        backbone = build_backbone("swin_tiny_patch4_window7_224")
    with pytest.raises(BundleError, match=r"stride 8.*16.*'swin'"):
        complete_arguments("convnext", backbone, {})


@pytest.mark.parametrize(
    ("family", "arguments", "named"),
    [("_restoration", {}, "convnext.*resnet.*swin"), ("convnext", {"width": 3}, "width")],
)
def test_unknown_family_or_argument_is_refused(family, arguments, named):
    with pytest.raises(BundleError, match=named):
        build_blueprint(family, latent_channels=48, target_channels=80, **arguments)


def test_committed_bundle_still_fits(bundle_path):
    bundle = Bundle.open(bundle_path)
    spec, channels = bundle.server["blueprint"], bundle.codec.channels
    blueprint = build_blueprint(
        spec["family"], latent_channels=channels, target_channels=80, **spec["arguments"]
    )
    with safe_open(bundle_path / "server" / "blueprint.safetensors", "pt") as file:
        stored = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    del stored["medians"]
    assert stored == {name: tuple(value.shape) for name, value in blueprint.state_dict().items()}


@pytest.mark.skipif(find_spec("compressai") is None, reason="training needs compressai")
@pytest.mark.parametrize("channels", sorted(set(CHANNELS.values())))
def test_parameters_of_the_entropy_model(channels):
    assert parameters_of(FactorizedPrior(channels)) == PRIOR_PARAMETERS * channels
