# SPDX-License-Identifier: Apache-2.0
"""Bundles whose parts are each well-formed and do not fit together: refused where the networks are built."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from hostile_bundles import change_json
from safetensors.torch import load_file, save_file

from frankensplit.bundle import Bundle, Codec, canonical_json, codec_id, write_manifest
from frankensplit.errors import BundleError
from frankensplit.inference.predictor import Predictor
from frankensplit.models.backbone import build_backbone
from frankensplit.models.blueprints import build_blueprint
from frankensplit.models.from_bundle import MAX_LOGITS, load_backbone, load_blueprint, load_heads
from frankensplit.models.heads import build_head


@pytest.fixture
def street(tmp_path, bundle_path):
    """A copy of the repository's bundle."""
    return shutil.copytree(bundle_path, tmp_path / "street")


@pytest.fixture(scope="module")
def backbone(bundle_path):
    return load_backbone(Bundle.open(bundle_path))


def signed(folder, **changes) -> Bundle:
    """Open a folder after its hashes were made right again."""
    manifest = json.loads((folder / "manifest.json").read_text())
    kept = {key: manifest[key] for key in ("name", "codec_id", "server")}
    write_manifest(folder, {**kept, **changes})
    return Bundle.open(folder)


def with_codec(folder, **changes) -> Bundle:
    """Open a folder whose ``codec.json`` says something else, with the id that belongs to it."""
    file = folder / "codec" / "codec.json"
    codec = {**json.loads(file.read_text()), **changes}
    file.write_bytes(canonical_json(codec))
    return signed(folder, codec_id=codec_id(codec).hex())


def change_weights(folder, part, make) -> None:
    path = folder / "server" / f"{part}.safetensors"
    weights = load_file(path)
    make(weights)
    save_file(weights, path)


@pytest.mark.parametrize("changes", [{"stride": 1}, {"stride": 32}, {"multiple": 8}])
def test_strides_are_those_of_the_networks(street, backbone, changes):
    with pytest.raises(BundleError, match=r"expected stride 8 and a multiple of .* 32"):
        load_blueprint(with_codec(street, **changes), backbone)


@pytest.mark.parametrize("part", ["backbone", "blueprint", "heads"])
def test_weights_are_of_a_known_type(street, part):
    def complex_one(weights) -> None:
        name = next(name for name, one in weights.items() if one.dim() == 4)
        weights[name] = torch.full(weights[name].shape, torch.nan, dtype=torch.complex64)

    change_weights(street, part, complex_one)
    with pytest.raises(BundleError, match=r"is of type torch\.complex64"):
        Predictor(signed(street))


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool])
def test_medians_are_floats(street, backbone, dtype):
    change_weights(street, "blueprint", lambda w: w.update(medians=torch.zeros(10, dtype=dtype)))
    with pytest.raises(BundleError, match="expected floats"):
        load_blueprint(signed(street), backbone)


def renamed(folder, name: str) -> dict:
    """Give the head of classes another name, everywhere; return the manifest's ``server``."""
    change_json(folder / "labels.json", lambda v: v.update({name: {"head": "presence", **v.pop("presence")}}))

    def rename(weights) -> None:
        for key in [key for key in weights if key.startswith("presence.")]:
            weights[f"{name}.{key.removeprefix('presence.')}"] = weights.pop(key).clone()

    change_weights(folder, "heads", rename)
    server = json.loads((folder / "manifest.json").read_text())["server"]
    return {**server, "heads": [name if one == "presence" else one for one in server["heads"]]}


@pytest.mark.parametrize("name", ["keys", "training", "forward"])
def test_names_that_torch_has_taken(street, backbone, name):
    with pytest.raises(BundleError, match=f"cannot have the names {name}"):
        load_heads(signed(street, server=renamed(street, name)), backbone)


@pytest.mark.parametrize("name", ["overlay", "report", "latent", "image"])
def test_names_that_are_topics_of_a_server(street, name):
    with pytest.raises(BundleError, match=f"heads {name}, which are other topics"):
        signed(street, server=renamed(street, name))


def test_another_name_is_fine(street, backbone):
    assert "things" in load_heads(signed(street, server=renamed(street, "things")), backbone)


def test_shares_of_zero_have_a_weight(street, backbone):
    zeros = {"frequency": [0.0] * 11}
    change_json(street / "labels.json", lambda value: value["segmentation"].update(zeros))
    head = load_heads(signed(street), backbone)["segmentation"]
    assert head.class_weights.isfinite().all()


def test_masks_of_a_frame_are_payable(street, backbone):
    many = MAX_LOGITS // (2048 * 2048) + 1
    labels = {"classes": ["x"] * many, "colors": [[0, 0, 0]] * many, "frequency": [0.01] * many}
    change_json(street / "labels.json", lambda value: value["segmentation"].update(labels))
    bundle = with_codec(street, nominal_height=2048, nominal_width=2048)
    with pytest.raises(BundleError, match="logits of a frame"):
        load_heads(bundle, backbone)


def test_arithmetic_of_a_stranger_is_named():
    arguments = {"latent_channels": 10, "target_channels": 160}
    with pytest.raises(BundleError, match="cannot be built"):
        build_blueprint("swin", **arguments, widths=[1, 1], heads=[128, 128], depths=[1, 1])


def test_labels_have_as_many_classes_as_the_backbones_own_classifier():
    backbone = build_backbone("mobilenetv3_small_050", num_classes=2)
    labels = {"head": "backbone_classifier", "classes": list("abcde")}
    with pytest.raises(BundleError, match="has 2 classes, its labels 5"):
        build_head("objects", backbone.channels, labels, backbone.strides, backbone.classifier)


def test_a_linked_codec_is_refused(street, tmp_path):
    (street / "codec").rename(tmp_path / "elsewhere")
    (street / "codec").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="is a link"):
        Codec.open(street)
