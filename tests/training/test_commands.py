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
import torch
import yaml

from frankensplit.bundle import Bundle
from frankensplit.cli import main
from frankensplit.data.street import CLASSES, Street
from frankensplit.edge.encoder import FrameEncoder
from frankensplit.inference.predictor import Predictor
from frankensplit.training.tasks.codec_run import load_codec
from frankensplit.training.tasks.reroute_run import load_reroute

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
HEADS = {
    "classification": {
        "head": {"kind": "classification", "name": "things"},
        "data": [{"data": "things:train"}],
    },
    "presence": {
        "head": {"kind": "presence"},
        "features": "compressed",
        "data": [{"data": "streets:train", "exclude": "f2"}],
    },
}
REROUTE = {
    "task": "reroute",
    "head_of": "backbone",
    "tail_of": "other-backbone",
    "data": [{"data": "streets:train"}],
    "schedule": {**SCHEDULE, "keep_every": 1},
}
OBJECTIVES = [
    {"objective": "features+task", "channel_weight": "fisher"},
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
    assert main(["export", "nothing", str(root / "x"), "--runs", str(root / "runs")]) == 2
    assert "train that run first" in capsys.readouterr().err


@pytest.mark.parametrize("change", OBJECTIVES, ids=lambda change: change.get("objective", "saliency"))
def test_every_objective_trains(bundle_folder, root, change, monkeypatch):
    monkeypatch.setattr("frankensplit.training.saliency.cache.SALIENCY", root / "saliency")
    plain = {key: value for key, value in RECIPES["codec"].items() if key != "channel_weight"}
    name = f"codec-{change.get('objective', 'saliency')}".replace("+", "-")
    assert main(["train", _write_recipe(root, name, plain | change), *_places(root)]) == 0
    log = (root / "runs" / name / "log.csv").read_text().splitlines()
    assert len(log) == 1 + SCHEDULE["steps"] and log[0].split(",")[2] == "distortion"


@pytest.fixture(scope="module")
def other_backbone(bundle_folder, root):
    """The name of a backbone's run of another family."""
    recipe = _write_recipe(root, "other-backbone", OTHER_FAMILY["other-backbone"])
    assert main(["train", recipe, *_places(root)]) == 0
    return "other-backbone"


def test_the_encoder_is_there_in_every_precision(bundle_folder):
    codec = Bundle.open(bundle_folder).codec
    assert codec.precisions == ("fp32", "fp16", "int8")
    frame = Street(8, *SIZE).frame(0).rgb
    wanted, _ = codec.unpack(FrameEncoder(codec).encode(frame).data)
    for precision in codec.precisions[1:]:
        symbols, _ = codec.unpack(FrameEncoder(codec, precision=precision).encode(frame).data)
        assert np.mean(symbols != wanted) < 0.1 and np.abs(symbols - wanted).max() <= 2


def test_a_bundle_gets_precisions_anew(bundle_folder, root, capsys):
    out, data = root / "recalibrated", f"{root / 'data' / 'streets'}:train"
    assert main(["export", str(bundle_folder), str(out), "--calibrate", data]) == 0
    assert "int8-cpu: " in capsys.readouterr().out
    before, after = Bundle.open(bundle_folder), Bundle.open(out)
    assert after.codec.id == before.codec.id and after.codec.precisions == before.codec.precisions
    names = [path.relative_to(out) for path in out.rglob("*") if path.is_file()]
    changed = {
        path.name for path in names if (out / path).read_bytes() != (bundle_folder / path).read_bytes()
    }
    assert changed <= {"manifest.json", "precisions.json", "encoder.int8.onnx", "encoder.int8-cpu.onnx"}


def test_channels_that_are_0_in_every_frame_are_left_out(bundle_folder, root, monkeypatch):
    task, recipe, teacher = load_codec(root / "runs" / "codec")
    task.prior.fit_quantiles()
    last, kept = task.encoder.blocks[-1], [1, 4, 30]
    with torch.no_grad():
        for channel in set(range(48)) - set(kept):
            last.conv2.weight[channel], last.conv2.bias[channel] = 0, 0
            last.skip.weight[channel], last.skip.bias[channel] = 0, task.prior.medians[channel]
        last.skip.weight[kept] *= 100
    monkeypatch.setattr("frankensplit.training.export.bundle.load_codec", lambda run: (task, recipe, teacher))
    assert main(["export", "codec", str(root / "quiet"), "--nominal", "128x96", *_places(root)]) == 0
    bundle, frame = Bundle.open(root / "quiet"), Street(8, *SIZE).frame(0).rgb
    assert bundle.codec.channels == len(kept)
    assert "Left out: 45 latent channels" in (root / "quiet" / "card.md").read_text()
    for precision in bundle.codec.precisions:
        data = FrameEncoder(bundle.codec, precision=precision).encode(frame).data
        assert Predictor(bundle).predict(data).results["segmentation"].mask.shape == SIZE


def test_levels_are_added_to_a_finished_codec(bundle_folder, root):
    levels = {
        "init": str(bundle_folder),
        "encoder_from": str(bundle_folder),
        "rate": None,
        "levels": [2.0, 8.0],
    }
    path = _write_recipe(root, "levels", {**RECIPES["codec"], **levels})
    assert main(["train", path, *_places(root)]) == 0
    assert main(["export", "levels", str(root / "levels"), *_places(root)]) == 0
    before, after = Bundle.open(bundle_folder), Bundle.open(root / "levels")
    assert [level.step for level in after.codec.levels] == [1, 2, 8]
    assert after.codec.id != before.codec.id
    assert "Level of step 8: " in (root / "levels" / "card.md").read_text()
    encoder, predictor = FrameEncoder(after.codec), Predictor(after)
    frame = Street(8, *SIZE).frame(0).rgb
    packets = [encoder.encode(frame, level).data for level in range(3)]
    (fine, _), (coarse, packet) = (after.codec.unpack(packets[level]) for level in (0, 2))
    assert packet.level == 2
    assert np.array_equal(fine, before.codec.unpack(FrameEncoder(before.codec).encode(frame).data)[0])
    assert np.abs(8 * coarse - fine).max() <= 5  # the latent, but for both roundings
    assert len(packets[0]) > len(packets[1]) > len(packets[2])
    assert predictor.predict(packets[2]).packet.level == 2
    restored = predictor.restore(coarse, level=2)
    assert not np.array_equal(restored, predictor.restore(coarse))


def test_one_encoder_serves_two_families(bundle_folder, other_backbone, root):
    codec = _write_recipe(root, "other-codec", OTHER_FAMILY["other-codec"])
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


def _files(folder, *below):
    return {path: (folder / path).read_bytes() for path in below}


@pytest.mark.parametrize("kind", HEADS)
def test_head_is_added_and_nothing_else_changes(bundle_folder, root, kind):
    name, recipe = f"head-{kind}", {"task": "head", "bundle": "set by --head", **HEADS[kind]}
    path, out = _write_recipe(root, name, recipe), root / f"with-{kind}"
    assert main(["train", path, "--head", str(bundle_folder), *_places(root)]) == 0
    assert main(["export", name, str(out), *_places(root)]) == 0
    kept = ("codec/codec.json", "codec/encoder.onnx", "codec/tables.npz", "server/blueprint.safetensors")
    kept += ("server/backbone.safetensors",)
    assert _files(out, *kept) == _files(bundle_folder, *kept)
    bundle, known_as = Bundle.open(out), recipe["head"].get("name", kind)
    packet = FrameEncoder(bundle.codec).encode(Street(8, *SIZE).frame(0).rgb).data
    before, after = (Predictor(Bundle.open(one)).predict(packet).results for one in (bundle_folder, out))
    assert set(after) == {"segmentation", "presence", "detections", known_as}
    assert np.array_equal(before["segmentation"].mask, after["segmentation"].mask)
    if kind == "classification":
        assert bundle.labels["things"] == {"classes": ["a", "b"], "exclusive": True, "head": "classification"}
        assert np.isclose(after["things"].scores.sum(), 1)
    else:  # trained anew under its name
        assert not np.array_equal(before["presence"].scores, after["presence"].scores)


def test_added_head_is_measured_on_clean_and_on_compressed_features(bundle_folder, root):
    path = _write_recipe(
        root, "judged", {"task": "head", "bundle": str(bundle_folder), **HEADS["classification"]}
    )
    assert main(["train", path, *_places(root)]) == 0
    assert main(["export", "judged", str(root / "judged-bundle"), *_places(root)]) == 0
    out, things = root / "judged.json", f"{root / 'data' / 'things'}:train"
    assert main(["evaluate", str(root / "judged-bundle"), "--data", things, "--json", str(out)]) == 0
    head = json.loads(out.read_text())["heads"]["things"]
    assert head["metric"] == "top-1" and head["truth"] == "labels"
    # There are two frames.
    assert head["unmodified"] in (0.0, 50.0, 100.0) and head["rows"][0]["value"] in (0.0, 50.0, 100.0)


def test_rerouting_trains_shallow_layers_and_leaves_the_tail(bundle_folder, other_backbone, root):
    path = _write_recipe(root, "reroute", REROUTE)
    assert main(["train", path, *_places(root)]) == 0
    first, last = (load_reroute(root / "runs" / "reroute", step).state_dict() for step in (1, 2))
    assert any(not torch.equal(first[name], last[name]) for name in first)
    assert not [name for name in last if not name.startswith(("shallow.", "adapter."))]


def test_curve_compares_kept_weights_with_the_reference(bundle_folder, other_backbone, root):
    assert main(["train", _write_recipe(root, "reroute", REROUTE), *_places(root)]) == 0
    out, data = root / "curve.json", f"{root / 'data' / 'streets'}:train"
    places = ["--data-root", str(root / "data"), "--runs", str(root / "runs")]
    assert (
        main(["bench", "curve", "reroute", "--data", data, "--within", "200", "--json", str(out), *places])
        == 0
    )
    result = json.loads(out.read_text())
    (run,) = result["runs"]
    assert [row["step"] for row in run["rows"]] == [1, 2]
    assert result["goal"] == run["rows"][-1]["heads"] and set(run["unmodified"]) == set(result["goal"])
    assert set(run["steps_to_within"].values()) == {1}
    assert main(["bench", "curve", "codec", "--data", data, *places]) == 2  # kept nothing on its way


def test_training_comparison_has_a_row_a_recipe(bundle_folder, root, monkeypatch):
    monkeypatch.setattr("frankensplit.benchmarks.training.BUNDLES", root / "compared")
    monkeypatch.setattr("frankensplit.benchmarks.training.EVALUATIONS", root / "evaluations")
    other = {**RECIPES["codec"], "rate": {"weight": 1.0}}
    recipes = [str(root / "codec.yaml"), _write_recipe(root, "codec-less", other)]
    out, plot, data = root / "compared.json", root / "compared.png", f"{root / 'data' / 'streets'}:train"
    command = ["bench", "training", *recipes, "--data", data, "--json", str(out), "--plot", str(plot)]
    assert main([*command, *_places(root)]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert [(row["name"], row["settings"]["rate"]["weight"]) for row in rows] == [
        ("codec", 0.25),
        ("codec-less", 1.0),
    ]
    assert all(row["bytes_per_frame"] > 32 and row["training"]["ms_per_step"] > 0 for row in rows)
    assert cv2.imread(str(plot)).std() > 5
