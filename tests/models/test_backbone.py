# SPDX-License-Identifier: Apache-2.0
"""The cut leaves every family's network what it was, at any size of image, and its weights come from where they may."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from frankensplit.errors import BundleError
from frankensplit.models.backbone import build_backbone, freeze
from frankensplit.models.timm_import import timm

# small networks of each family; windows as in the paper's Swins, where the third stage has only one at 224 pixels
S3 = {"embed_dim": 24, "num_heads": (1, 2, 4, 8), "depths": (2, 2, 2, 2)}
SMALL = {
    "convnext_atto": {"ls_init_value": 0.5},
    "convnextv2_atto": {},
    "convnext_tiny_hnf": {"depths": (1, 1, 1, 1), "dims": (16, 32, 64, 128)},
    "resnet18": {},
    "resnet50": {"layers": (1, 1, 1, 1)},
    "swin_s3_tiny_224": S3,
    "swin_s3_small_224": S3,
    "tf_efficientnet_lite0": {},
    "efficientnet_b0": {},
    "mobilenetv2_050": {},
    "mobilenetv3_small_050": {},
}
EFFICIENTNETS = ("tf_efficientnet", "efficientnet", "mobilenet")
CHANNELS = {
    "convnext_atto": [80, 160, 320],
    "tf_efficientnet_lite0": [40, 112, 320],
    "resnet18": [128, 256, 512],
    "swin_s3_tiny_224": [96, 96, 192],
}


def timm_network(model, size, seed=0, **more):
    """Build timm's own network for images of a size: Swin's windows stay as they are, others take any size."""
    torch.manual_seed(seed)
    sized = {"img_size": size} if model.startswith("swin") else {}
    return timm.create_model(model, **SMALL[model], **sized, **more).eval()


def write_weights(network, path):
    save_file({name: value.clone() for name, value in network.state_dict().items()}, path)
    return path


def channels_first(model, features):
    return features.permute(0, 3, 1, 2) if model.startswith("swin") else features


@pytest.mark.parametrize("model", SMALL)
@pytest.mark.parametrize("size", [(224, 224), (256, 320)])
def test_cut_backbone_computes_what_timm_does(model, size, tmp_path):
    whole = timm_network(model, size, num_classes=7)
    checkpoint = write_weights(whole, tmp_path / "whole.safetensors")
    backbone = build_backbone(model, checkpoint=checkpoint, num_classes=7, **SMALL[model]).eval()
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        features = backbone(images)
        if model.startswith(EFFICIENTNETS):  # timm counts the convolution of the classifier as a feature
            assert torch.equal(features[-1], whole.forward_intermediates(images, indices=1)[1][-1])
        else:
            assert torch.equal(features[-1], channels_first(model, whole.forward_features(images)))
        assert torch.equal(backbone.classify(features), whole(images))
    expected = [[size[0] // stride, size[1] // stride] for stride in backbone.strides]
    assert [list(f.shape[2:]) for f in features] == expected
    assert [f.shape[1] for f in features] == backbone.channels == CHANNELS.get(model, backbone.channels)
    assert backbone.strides == ([16, 16, 32] if model.startswith("swin") else [8, 16, 32])


@pytest.mark.parametrize("size", [(480, 384), (64, 96)])
def test_swin_keeps_its_tables_for_any_size(size):
    backbone = build_backbone("swin_s3_tiny_224", **S3).eval()
    tables = [tuple(v.shape) for k, v in backbone.state_dict().items() if k.endswith("position_bias_table")]
    assert tables == [(13 * 13, 1)] * 2 + [(13 * 13, 2)] * 2 + [(27 * 27, 4)] * 2 + [(13 * 13, 8)] * 2
    with torch.no_grad():
        first = backbone(torch.zeros(1, 3, 224, 224))
        features = backbone(torch.zeros(1, 3, *size))
        again = backbone(torch.zeros(1, 3, 224, 224))
    assert [list(f.shape[2:]) for f in features] == [[size[0] // s, size[1] // s] for s in (16, 16, 32)]
    assert all(f.isfinite().all() for f in features)
    # One size leaves no trace in the next.
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_swin_windows_of_a_large_image_exchange_what_they_see():
    torch.manual_seed(0)
    backbone = build_backbone("swin_s3_tiny_224", **S3).eval()
    shallow = torch.randn(1, 96, 28, 28)
    changed = shallow.clone()
    changed[..., :14] = 0  # the third stage's windows have 14 tokens a side
    with torch.no_grad():
        third, other = (backbone.tail(x)[1] for x in (shallow, changed))
    assert not torch.allclose(third[..., 14:], other[..., 14:])


@pytest.mark.parametrize("model", ["convnext_atto", "resnet18", "swin_s3_tiny_224"])
def test_frozen_tail_stays_bit_for_bit(model):
    backbone = build_backbone(model, **SMALL[model])
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    freeze(backbone)
    height = 64 // backbone.strides[0]
    shallow = torch.randn(1, backbone.channels[0], height, height, requires_grad=True)
    backbone.tail(shallow)[-1].square().sum().backward()
    assert shallow.grad.abs().sum() > 0
    assert all(p.grad is None for p in backbone.parameters())
    assert all(torch.equal(before[name], value) for name, value in backbone.state_dict().items())


def test_checkpoint_of_either_kind_without_the_classifier(tmp_path):
    whole = timm_network("resnet18", (64, 64), num_classes=7)
    path = write_weights(whole, tmp_path / "whole.safetensors")
    torch.save({"epoch": 3, "state_dict": whole.state_dict()}, tmp_path / "whole.pth")
    images = torch.randn(1, 3, 64, 64)
    for checkpoint in (path, tmp_path / "whole.pth"):
        backbone = build_backbone("resnet18", checkpoint=checkpoint).eval()
        assert backbone.classifier is None
        with torch.no_grad():
            assert torch.equal(backbone(images)[-1], whole.forward_features(images))
    with pytest.raises(BundleError, match="num_classes"):
        backbone.classify(backbone(images))


def test_checkpoint_that_does_not_fit_is_refused(tmp_path):
    path = write_weights(timm_network("resnet18", (64, 64), num_classes=7), tmp_path / "whole.safetensors")
    (tmp_path / "text.pth").write_text("no weights")
    (tmp_path / "text.safetensors").write_text("no weights")
    for checkpoint, model, classes in (
        (path, "resnet18", 8),
        (path, "convnext_atto", 0),
        (tmp_path / "text.pth", "resnet18", 0),
        (tmp_path / "text.safetensors", "resnet18", 0),
        (tmp_path / "none.pth", "resnet18", 0),
    ):
        with pytest.raises(BundleError, match=rf"{checkpoint.name}.*{model}.*{classes} classes"):
            build_backbone(model, checkpoint=checkpoint, num_classes=classes)


def test_checkpoint_runs_no_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (tmp_path / "ran").touch, ()

    torch.save({"conv1.weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(BundleError, match=r"evil\.pth"):
        build_backbone("resnet18", checkpoint=tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


def test_no_network_is_said(monkeypatch):
    def create_model(*args, pretrained, **kwargs):
        assert pretrained
        raise OSError("no route to the hub")

    monkeypatch.setattr(timm, "create_model", create_model)
    with pytest.raises(BundleError, match=r"resnet18.*no route.*checkpoint"):
        build_backbone("resnet18", pretrained=True)


@pytest.mark.parametrize(
    "name", ["vgg16", "convnext_gigantic", "resnetv2_50", "resnet50_clip", "swinv2_tiny_window8_256"]
)
def test_unknown_backbone_is_refused(name):
    with pytest.raises(BundleError, match=name):
        build_backbone(name)


def test_layout_of_another_stride_is_refused():
    with torch.device("meta"), pytest.raises(BundleError, match="stride 16, expected 8"):
        build_backbone("convnext_atto", patch_size=8)
