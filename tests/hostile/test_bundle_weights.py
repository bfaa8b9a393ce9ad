# SPDX-License-Identifier: Apache-2.0
"""Weights of the server that are not weights are refused where the networks are built, not at a frame."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from hostile_bundles import change_json
from safetensors.torch import load_file, save_file

from frankensplit.bundle import Bundle, write_manifest
from frankensplit.errors import BundleError
from frankensplit.inference.predictor import Predictor
from frankensplit.models.from_bundle import load_backbone, load_blueprint, load_heads, read_weights
from frankensplit.training.export.derive import as_stored


@pytest.fixture
def street(tmp_path, bundle_path):
    """A copy of the repository's bundle."""
    return shutil.copytree(bundle_path, tmp_path / "street")


def signed(folder) -> Bundle:
    """Open a folder after its hashes were made right again."""
    manifest = json.loads((folder / "manifest.json").read_text())
    write_manifest(folder, {key: manifest[key] for key in ("name", "codec_id", "server")})
    return Bundle.open(folder)


def change(folder, part, make) -> None:
    path = folder / "server" / f"{part}.safetensors"
    weights = load_file(path)
    make(weights)
    save_file(weights, path)


def set_first(value):
    def make(weights) -> None:
        name = next(name for name, one in weights.items() if one.is_floating_point() and one.dim())
        weights[name].view(-1)[0] = value

    return make


@pytest.fixture(scope="module")
def backbone(bundle_path):
    return load_backbone(Bundle.open(bundle_path))


@pytest.mark.parametrize("part", ["backbone", "blueprint", "heads"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_are_finite(street, part, value):
    change(street, part, set_first(value))
    with pytest.raises(BundleError, match=rf"{part}\.safetensors: .* not finite"):
        read_weights(signed(street), part)


def test_a_server_does_not_start_with_them(street):
    change(street, "heads", set_first(float("nan")))
    with pytest.raises(BundleError, match=r"heads\.safetensors: .* not finite"):
        Predictor(signed(street))


def test_weights_that_float32_cannot_hold_are_refused(street):
    change(street, "heads", lambda weights: weights.update(more=torch.tensor([1e300], dtype=torch.float64)))
    with pytest.raises(BundleError, match="'more' has values that are not finite"):
        read_weights(signed(street), "heads")


@pytest.mark.parametrize(
    "medians", [None, torch.zeros(3), torch.zeros(1, 10), torch.zeros(()), torch.full((10,), torch.nan)]
)
def test_medians_are_one_a_channel(street, backbone, medians):
    def make(weights) -> None:
        weights.pop("medians")
        if medians is not None:
            weights["medians"] = medians

    change(street, "blueprint", make)
    with pytest.raises(BundleError, match=r"medians"):
        load_blueprint(signed(street), backbone)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"weights",
        (1 << 62).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (2).to_bytes(8, "little") + b"{}" + bytes(100),
        (77).to_bytes(8, "little")
        + b'{"a":{"dtype":"F32","shape":[1073741824,64],"data_offsets":[0,274877906944]}}',
        (66).to_bytes(8, "little")
        + b'{"a":{"dtype":"F32","shape":[1073741824],"data_offsets":[0,4]}}   '
        + bytes(4),
    ],
    ids=["empty", "short", "header", "no object", "more", "cut off", "shape"],
)
def test_files_that_hold_no_weights(street, data):
    (street / "server" / "backbone.safetensors").write_bytes(data)
    with pytest.raises(BundleError, match=r"backbone\.safetensors"):
        load_backbone(signed(street))


def test_a_head_of_a_mask_has_no_more_classes_than_a_mask_has_values(street, backbone):
    more = {"classes": [str(number) for number in range(256)], "ignore": 0, "frequency": [0.1] * 256}
    change_json(street / "labels.json", lambda value: value.update(segmentation=more))
    with pytest.raises(BundleError, match="256 classes, expected at most 255"):
        load_heads(signed(street), backbone)


@pytest.mark.parametrize("key", ["ignore", "frequency"])
def test_labels_have_what_their_head_needs(street, backbone, key):
    change_json(street / "labels.json", lambda value: value["segmentation"].pop(key))
    with pytest.raises(BundleError, match=f"head segmentation lacks '{key}'"):
        load_heads(signed(street), backbone)


def test_what_the_exporter_stores_is_read(street):
    change(street, "heads", lambda weights: weights.update(as_stored(weights)))
    Predictor(signed(street))
