# SPDX-License-Identifier: Apache-2.0
"""A codec for a pretrained backbone by reference: trained, exported, served, and trained on from its bundle."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from frankensplit.bundle import Bundle
from frankensplit.edge.encoder import FrameEncoder
from frankensplit.errors import BundleError, RecipeError
from frankensplit.inference.predictor import Predictor
from frankensplit.models import weights as references
from frankensplit.models.timm_import import timm
from frankensplit.models.weights import WeightsReference, bring
from frankensplit.training.export.bundle import export_bundle
from frankensplit.training.recipe import parse_recipe
from frankensplit.training.run import train
from frankensplit.training.tasks.teacher import imagenet_names
from frankensplit.training.where import Where

MODEL = "mobilenetv3_small_050"
NOMINAL = (96, 128)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("pretrained")


@pytest.fixture(scope="module", autouse=True)
def cache(place):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(references, "FOLDER", place / "cache")
        yield place / "cache"


@pytest.fixture(scope="module")
def reference(place):
    """Weights of a backbone in a file that the user names."""
    torch.manual_seed(0)
    path = place / "small.safetensors"
    save_file(timm.create_model(MODEL).state_dict(), path)
    value = {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    bring(WeightsReference.of_manifest(value), path)
    return value


def recipe(reference, name="codec", **changes):
    values = {
        "task": "codec",
        "name": name,
        "teacher": {"model": MODEL, "arguments": {"num_classes": 1000}, "weights": reference},
        "encoder": {"size": "nano"},
        "blueprint": {"family": "efficientnet", "arguments": {"width": 8, "depth": 1}},
        "objective": "stages",
        "rate": {"weight": 0.1},
        "data": [{"data": "street:train", "frames": 2}],
        "crops": {"size": [64, 64]},
        "schedule": {"steps": 4, "batch": 2, "lr": 1e-3, "warmup": 1},
    }
    return parse_recipe(values | changes, "test")


@pytest.fixture(scope="module")
def bundle(place, reference):
    where = Where(place / "runs", place, "cpu")
    run = train(recipe(reference), where)
    export_bundle(run, place / "small", "small", NOMINAL, place, "none")
    return Bundle.open(place / "small")


def test_bundle_names_its_backbone_and_holds_none(bundle, reference):
    backbone = bundle.server["backbone"]
    assert backbone["weights"] == reference
    assert backbone["normalisation"] == {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    assert not bundle.weights("backbone").exists()
    assert sum(file.stat().st_size for file in bundle.path.rglob("*") if file.is_file()) < 2_000_000
    assert bundle.labels["objects"]["classes"] == imagenet_names()


def test_plain_pictures_get_timms_own_answer(bundle, place):
    predictor = Predictor(bundle)
    rgb = np.random.default_rng(0).integers(0, 256, (*NOMINAL, 3), np.uint8)
    found = predictor.predict_image(rgb).results["objects"].scores
    torch.manual_seed(0)
    whole = timm.create_model(MODEL).eval()
    mean, std = (torch.tensor(whole.pretrained_cfg[key]).view(3, 1, 1) for key in ("mean", "std"))
    images = (torch.from_numpy(rgb).permute(2, 0, 1) / 255 - mean) / std
    with torch.no_grad():
        wanted = whole(images.unsqueeze(0)).softmax(1)[0].numpy()
    assert np.allclose(found, wanted, atol=1e-5)


def test_packets_are_served(bundle):
    rgb = np.random.default_rng(1).integers(0, 256, (*NOMINAL, 3), np.uint8)
    packet = FrameEncoder(bundle.codec).encode(rgb).data
    scores = Predictor(bundle).predict(packet).results["objects"].scores
    assert scores.shape == (1000,) and np.isclose(scores.sum(), 1, atol=1e-4)


def test_training_goes_on_from_the_bundle(bundle, place, reference):
    where = Where(place / "runs", place, "cpu")
    run = train(recipe(reference, "more", init=str(bundle.path)), where)
    assert json.loads((run / "run.json").read_text())["samples_in_all"] == 16
    figures = export_bundle(run, place / "more", "more", NOMINAL, place, "none")
    more = Bundle.open(place / "more")
    assert figures["levels"]
    again = train(recipe(reference, "again", init=str(more.path)), where)
    assert json.loads((again / "run.json").read_text())["samples_in_all"] == 24


def test_another_blueprint_cannot_begin_with_it(bundle, place, reference):
    wider = {"family": "efficientnet", "arguments": {"width": 16, "depth": 1}}
    with pytest.raises(RecipeError, match="differ from the recipe's"):
        train(
            recipe(reference, "wider", init=str(bundle.path), blueprint=wider),
            Where(place / "runs", place, "cpu"),
        )


def test_weights_that_are_gone_are_named(bundle, cache, monkeypatch, tmp_path):
    monkeypatch.setattr(references, "FOLDER", tmp_path)
    with pytest.raises(BundleError, match=r"small\.safetensors.*frankensplit weights BUNDLE --file"):
        Predictor(bundle)


def test_names_of_imagenet_are_told_apart():
    names = imagenet_names()
    assert len(names) == len(set(names)) == 1000
    assert names[0] == "tench" and "crane" not in names
