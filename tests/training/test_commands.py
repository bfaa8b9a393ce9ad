# SPDX-License-Identifier: Apache-2.0
"""The commands of the README's training section, on a tiny data set: recipe to bundle to figures."""

from __future__ import annotations

import io
import json
import tarfile
from importlib.util import find_spec

import cv2
import numpy as np
import pytest
import yaml

from frankensplit.bundle import Bundle
from frankensplit.cli import main
from frankensplit.data.street import CLASSES, Street
from frankensplit.edge.encoder import FrameEncoder
from frankensplit.inference.predictor import Predictor

pytestmark = pytest.mark.skipif(find_spec("compressai") is None, reason="training needs compressai")

SIZE = (96, 128)
COMMON = {"seed": 1, "crops": {"size": [64, 64]}}
SCHEDULE = {"steps": 2, "batch": 2, "lr": 1e-3, "warmup": 1, "ema": 0.5}
BACKBONE = {"model": "convnext_atto", "arguments": {"ls_init_value": 0.5}}
RECIPES = {
    "pretrain": {"task": "classify", "backbone": BACKBONE, "data": [{"data": "things:train"}]},
    "backbone": {
        "task": "backbone",
        "backbone": BACKBONE,
        "init": "pretrain",
        "heads": {"segmentation": 1.0, "presence": 0.3, "detections": 0.1},
        "detect": ["Car"],
        "data": [{"data": "streets:train", "exclude": "f2"}],
    },
    "codec": {
        "task": "codec",
        "teacher": "backbone",
        "blueprint": {"family": "convnext", "arguments": {"widths": [16, 16], "depths": [1, 1]}},
        "rate": {"weight": 0.25},
        "channel_weight": "fisher",
        "data": [{"data": "streets:train", "exclude": "f2"}],
    },
}


OTHER_FAMILY = {
    "other-backbone": {**RECIPES["backbone"], "backbone": {"model": "resnet18"}, "init": None},
    "other-codec": {
        "task": "codec",
        "teacher": "other-backbone",
        "blueprint": {"family": "resnet"},
        "rate": {"weight": 0.25},
        "data": [{"data": "streets:train"}],
    },
}
OBJECTIVES = [
    {"objective": "stages"},
    {"objective": "task"},
    {"objective": "disagreement"},
    {"saliency": {"uniform": 0.5, "salient": 0.5}, "channel_weight": "fisher"},
]


def _write_recipe(root, name, recipe):
    path = root / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"name": name, **COMMON, "schedule": SCHEDULE, **recipe}))
    return str(path)


def _write_shard(path, samples):
    path.parent.mkdir(parents=True)
    with tarfile.open(path, "w") as tar:
        for name, data in samples:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def _png(pixels):
    return cv2.imencode(".png", pixels)[1].tobytes()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A data root with two small sets, and the recipes beside it."""
    root = tmp_path_factory.mktemp("root")
    frames = [Street(7, *SIZE).frame(10 * i) for i in range(3)]
    streets = []
    for i, frame in enumerate(frames):
        streets += [(f"f{i}.png", _png(frame.rgb[:, :, ::-1])), (f"f{i}.mask.png", _png(frame.mask))]
    _write_shard(root / "data" / "streets" / "train-0.tar", streets)
    things = [
        (f"t{i}.{kind}", data)
        for i in range(2)
        for kind, data in (("cls", b"%d" % i), ("png", streets[0][1]))
    ]
    _write_shard(root / "data" / "things" / "train-0.tar", things)
    share = {"train": {"pixel_fraction": [1 / 12] * 12}}
    colors = np.arange(33).reshape(11, 3).tolist()
    labels = {"class_names": list(CLASSES), "class_colors_rgb": colors, "void_index": 11, "frequency": share}
    (root / "data" / "streets" / "labels.json").write_text(json.dumps(labels))
    (root / "data" / "things" / "labels.json").write_text(json.dumps({"class_names": ["a", "b"]}))
    for name, recipe in RECIPES.items():
        _write_recipe(root, name, recipe)
    return root


def _places(root):
    return ["--data-root", str(root / "data"), "--runs", str(root / "runs")]


@pytest.fixture(scope="module")
def bundle_folder(root):
    """The bundle that train, train, train and export make."""
    for name in RECIPES:
        assert main(["train", str(root / f"{name}.yaml"), *_places(root)]) == 0
    out = root / "bundle"
    assert main(["export", "codec", str(out), "--nominal", "128x96", *_places(root)]) == 0
    return out


def test_bundle_encodes_and_predicts(bundle_folder):
    bundle = Bundle.open(bundle_folder)
    data = FrameEncoder(bundle.codec).encode(Street(8, *SIZE).frame(0).rgb).data
    results = Predictor(bundle).predict(data).results
    assert set(results) == {"segmentation", "presence", "detections"}
    assert results["segmentation"].mask.shape == SIZE


def test_evaluate_writes_the_card_and_the_bundle_stays_valid(bundle_folder, root):
    arguments = ["--data", f"{root / 'data' / 'streets'}:train", "--rival", "jpeg", "--write-card"]
    assert main(["evaluate", str(bundle_folder), *arguments]) == 0
    assert "| frankensplit, " in (bundle_folder / "card.md").read_text()
    assert main(["info", str(bundle_folder)]) == 0


def test_finished_training_is_not_done_again(bundle_folder, root):
    checkpoint = root / "runs" / "codec" / "checkpoint.pt"
    before = checkpoint.stat().st_mtime_ns
    common = ["--data-root", str(root / "data"), "--runs", str(root / "runs")]
    assert main(["train", str(root / "codec.yaml"), *common]) == 0
    assert checkpoint.stat().st_mtime_ns == before


def test_export_replaces_a_bundle_and_gives_the_same_codec(bundle_folder, root):
    first = Bundle.open(bundle_folder).codec.id
    common = ["--data-root", str(root / "data"), "--runs", str(root / "runs")]
    assert main(["export", "codec", str(bundle_folder), "--nominal", "128x96", *common]) == 0
    assert Bundle.open(bundle_folder).codec.id == first
    assert not [path for path in root.iterdir() if path.name.startswith(".bundle")]


def test_missing_run_is_an_error_not_a_traceback(root, capsys):
    assert main(["export", "nothing", str(root / "x"), "--runs", str(root / "runs")]) == 1
    assert "train that run first" in capsys.readouterr().err


@pytest.mark.parametrize("change", OBJECTIVES, ids=lambda change: change.get("objective", "saliency"))
def test_every_objective_trains(bundle_folder, root, change, monkeypatch):
    monkeypatch.setattr("frankensplit.training.saliency.cache.SALIENCY", root / "saliency")
    plain = {key: value for key, value in RECIPES["codec"].items() if key != "channel_weight"}
    name = f"codec-{change.get('objective', 'saliency')}"
    assert main(["train", _write_recipe(root, name, plain | change), *_places(root)]) == 0
    log = (root / "runs" / name / "log.csv").read_text().splitlines()
    assert len(log) == 1 + SCHEDULE["steps"] and log[0].split(",")[2] == "distortion"


def test_one_encoder_serves_two_families(bundle_folder, root):
    backbone, codec = (_write_recipe(root, name, recipe) for name, recipe in OTHER_FAMILY.items())
    assert main(["train", backbone, *_places(root)]) == 0
    assert main(["train", codec, "--encoder-from", str(bundle_folder), *_places(root)]) == 0
    other_folder = root / "other-bundle"
    assert main(["export", "other-codec", str(other_folder), *_places(root)]) == 0
    first, other = Bundle.open(bundle_folder), Bundle.open(other_folder)
    assert first.codec.id == other.codec.id
    assert other.server["blueprint"]["family"] == "resnet" != first.server["blueprint"]["family"]
    packet = FrameEncoder(first.codec).encode(Street(8, *SIZE).frame(0).rgb).data
    for bundle in (first, other):
        assert set(Predictor(bundle, threads=1).predict(packet).results) == set(RECIPES["backbone"]["heads"])
    assert f"those of `{bundle_folder}`" in (other_folder / "card.md").read_text()
