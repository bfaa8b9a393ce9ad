# SPDX-License-Identifier: Apache-2.0
"""A bundle of each family, from untrained runs: blueprint arguments left out, other encoders, other strides."""

from __future__ import annotations

import io
import json
import tarfile
from importlib.util import find_spec

import cv2
import pytest
import torch

from frankensplit.bundle import Bundle
from frankensplit.cli import main
from frankensplit.data.street import CLASSES, Street
from frankensplit.edge.encoder import FrameEncoder
from frankensplit.inference.predictor import Predictor
from frankensplit.models.backbone import build_backbone
from frankensplit.models.heads import build_head
from frankensplit.training.recipe import parse_recipe
from frankensplit.training.tasks.backbone import BackboneWithHeads
from frankensplit.training.tasks.codec_run import build_codec
from frankensplit.training.tasks.objectives import HeadDistillation

pytestmark = pytest.mark.skipif(find_spec("compressai") is None, reason="training needs compressai")

SIZE = (96, 128)
SWIN = {"embed_dim": 24, "num_heads": [1, 2, 4, 8], "depths": [1, 1, 2, 1]}
LABELS = {
    "segmentation": {"classes": list(CLASSES), "ignore": 11, "frequency": [0.1] * 11},
    "detections": {"classes": ["car"], "mask_indices": [8]},
}


@pytest.fixture(scope="module")
def frame():
    return Street(7, *SIZE).frame(10).rgb


@pytest.fixture(scope="module")
def data_root(tmp_path_factory, frame):
    """A data root with one set of one frame."""
    root = tmp_path_factory.mktemp("data")
    (root / "road").mkdir()
    data = cv2.imencode(".png", frame[:, :, ::-1])[1].tobytes()
    mask = cv2.imencode(".png", Street(7, *SIZE).frame(10).mask)[1].tobytes()
    with tarfile.open(root / "road" / "train-0.tar", "w") as tar:
        for name, content in (("f.png", data), ("f.mask.png", mask)):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    labels = {"class_names": list(CLASSES), "void_index": 11}
    (root / "road" / "labels.json").write_text(json.dumps(labels))
    return root


def write_run(run, recipe, task):
    run.mkdir(parents=True)
    torch.save({"recipe": recipe, "task": task.state_dict(), "average": None}, run / "checkpoint.pt")


def write_runs(runs, model, arguments, family, size):
    """Write the runs of a teacher and of a codec as training would, but untrained."""
    common = {"data": [{"data": "road:train"}], "schedule": {"steps": 1, "lr": 1e-3}}
    teacher = {
        "name": "teacher",
        "task": "backbone",
        "backbone": {"model": model, "arguments": arguments},
        "heads": dict.fromkeys(LABELS, 1.0),
        **common,
    }
    codec = {
        "name": "codec",
        "task": "codec",
        "teacher": "teacher",
        "encoder": {"size": size},
        "blueprint": {"family": family},
        "rate": {"weight": 1.0},
        **common,
    }
    torch.manual_seed(0)
    backbone = build_backbone(model, **arguments)
    heads = {
        name: build_head(name, backbone.channels, labels, backbone.strides) for name, labels in LABELS.items()
    }
    task = BackboneWithHeads(backbone, heads, teacher["heads"])
    write_run(runs / "teacher", teacher, task)
    (runs / "teacher" / "labels.json").write_text(json.dumps(LABELS))
    objective = HeadDistillation(task, torch.ones(backbone.channels[0]))
    write_run(runs / "codec", codec, build_codec(parse_recipe(codec, "codec"), runs / "codec", objective))
    return backbone


@pytest.mark.parametrize(
    ("model", "arguments", "family", "size", "completed"),
    [
        ("swin_s3_tiny_224", SWIN, "swin", "nano", {"widths": [24, 48], "heads": [1, 4], "depths": [2, 2]}),
        ("resnet18", {}, "resnet", "m", {"depths": [2, 2], "bottleneck": False}),
    ],
)
def test_bundle_of_family(tmp_path, data_root, frame, model, arguments, family, size, completed):
    backbone = write_runs(tmp_path / "runs", model, arguments, family, size)
    out = tmp_path / "bundle"
    places = ["--data-root", str(data_root), "--runs", str(tmp_path / "runs")]
    assert main(["export", "codec", str(out), "--nominal", "128x96", *places]) == 0
    bundle = Bundle.open(out)
    assert bundle.codec.manifest["encoder"] == size
    assert bundle.server["blueprint"] == {"family": family, "arguments": completed}
    predictor = Predictor(bundle, threads=1)
    for prediction in (
        predictor.predict(FrameEncoder(bundle.codec).encode(frame).data),
        predictor.predict_image(frame),
    ):
        assert prediction.results["segmentation"].mask.shape == SIZE
        assert set(prediction.results) == set(LABELS)
    stored = predictor.backbone.state_dict()
    for name, value in backbone.state_dict().items():  # floats are stored as half, counters as they are
        expected = value.half().float() if value.is_floating_point() else value
        assert torch.equal(stored[name], expected)
