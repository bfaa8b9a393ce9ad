# SPDX-License-Identifier: Apache-2.0
"""A bundle whose blueprint was damaged is repaired by a site's frames without labels; nothing else of it changes."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_bundle import write_small

from frankensplit.bundle import Bundle, write_manifest
from frankensplit.cli import main
from frankensplit.data.street import Street
from frankensplit.edge.encoder import FrameEncoder
from frankensplit.errors import DataError
from frankensplit.inference.predictor import Predictor
from frankensplit.models.adapter import AdaptedBlueprint
from frankensplit.training.data.site import Site, SiteSpec, site_batches
from frankensplit.training.tasks.codec import TrainBlueprint

pytestmark = pytest.mark.skipif(find_spec("compressai") is None, reason="training needs compressai")

SIZE = (96, 128)
COUNT = 10
SHORT = ["--steps", "30", "--batch", "2"]


@pytest.fixture(scope="module")
def damaged(tmp_path_factory, bundle_path):
    """The repository's bundle for small frames, with noise on the weights of its blueprint."""
    bundle = write_small(bundle_path, tmp_path_factory.mktemp("bundles") / "damaged", SIZE)
    folder = bundle.path
    path = folder / "server" / "blueprint.safetensors"
    torch.manual_seed(0)
    weights = load_file(path)
    for value in weights.values():
        if value.dim() > 1:
            value += 0.2 * value.float().std() * torch.randn(value.shape)
    save_file(weights, path)
    write_manifest(folder, {"name": "damaged", "codec_id": bundle.codec.id_hex, "server": bundle.server})
    return Bundle.open(folder)


@pytest.fixture(scope="module")
def frames():
    """Frames of twice the bundle's size."""
    street = Street(3, 2 * SIZE[0], 2 * SIZE[1])
    return [street.frame(5 * index).rgb for index in range(COUNT)]


@pytest.fixture(scope="module")
def site(tmp_path_factory, frames):
    """A folder of them, with one among them that is not a picture."""
    folder = tmp_path_factory.mktemp("site")
    for index, rgb in enumerate(frames):
        cv2.imwrite(str(folder / f"f{index:02d}.png"), rgb[:, :, ::-1])
    (folder / "f03-broken.png").write_bytes(b"no picture")
    return folder


def _write_bag(folder: Path, frames) -> None:
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_JAZZY)
    types = store.types
    with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection("/camera/image", "sensor_msgs/msg/Image", typestore=store)
        for index, rgb in enumerate(frames):
            stamp = types["builtin_interfaces/msg/Time"](sec=index, nanosec=0)
            header = types["std_msgs/msg/Header"](stamp=stamp, frame_id="camera")
            height, width = rgb.shape[:2]
            image = types["sensor_msgs/msg/Image"](
                header, height, width, "rgb8", 0, 3 * width, rgb.reshape(-1).copy()
            )
            data = store.serialize_cdr(image, "sensor_msgs/msg/Image")
            writer.write(connection, index * 10**9, data)


def _adapt(bundle, data, out, *more):
    """Run the command; return its exit code and its JSON."""
    result = out.parent / f"{out.name}.json"
    places = ["--out", str(out), "--runs", str(out.parent / "runs"), "--json", str(result)]
    code = main(["adapt", str(bundle.path), "--data", str(data), *places, *more])
    return code, json.loads(result.read_text()) if result.exists() else None


@pytest.fixture(scope="module")
def whole(damaged, site, tmp_path_factory):
    """The damaged bundle after an adaptation of its whole blueprint."""
    out = tmp_path_factory.mktemp("whole") / "repaired"
    code, result = _adapt(damaged, site, out, *SHORT, "--lr", "1e-3")
    assert code == 0
    return Bundle.open(out), result


@pytest.fixture(scope="module")
def small(damaged, frames, tmp_path_factory):
    """The damaged bundle with an adapter, trained on a bag."""
    folder = tmp_path_factory.mktemp("small")
    _write_bag(folder / "bag", frames)
    code, result = _adapt(
        damaged, folder / "bag", folder / "fitted", *SHORT, "--adapter", "8", "--lr", "5e-3"
    )
    assert code == 0
    return Bundle.open(folder / "fitted"), result


def test_held_out_frames_come_nearer(whole):
    _, result = whole
    assert result["after"]["distortion"] < 0.8 * result["before"]["distortion"]
    assert result["worse"] == [] and set(result["after"]["heads"]) == {
        "segmentation",
        "presence",
        "detections",
    }
    assert result["after"]["bytes_per_frame"] == result["before"]["bytes_per_frame"] > 0
    for head, (low, high) in result["gain_ci95"].items():
        assert low - 1e-3 <= result["after"]["heads"][head] - result["before"]["heads"][head] <= high + 1e-3
    assert {"command", "commit", "machine"} <= set(result)


def test_what_cannot_be_read_is_named(whole, capsys):
    _, result = whole
    assert list(result["skipped"]) == ["f03-broken.png"]
    # 11 files: the last two are held out, one of the other nine is not a picture.
    assert (result["trained_on_frames"], result["held_out_frames"]) == (8, 2)


@pytest.mark.parametrize("adapted", ["whole", "small"])
def test_only_the_blueprint_changes(adapted, damaged, request):
    bundle, _ = request.getfixturevalue(adapted)
    changed = {
        name for name, sha in bundle.manifest["files"].items() if sha != damaged.manifest["files"].get(name)
    }
    assert changed == {"card.md", "server/blueprint.safetensors"}
    assert bundle.codec.id == damaged.codec.id
    assert "unlabelled frames" in (bundle.path / "card.md").read_text()


def test_old_packets_decode(whole, damaged, frames):
    packet = FrameEncoder(damaged.codec).encode(frames[0]).data
    prediction = Predictor(whole[0], threads=1).predict(packet)
    assert prediction.results["segmentation"].mask.shape == frames[0].shape[:2]


def test_an_adapter_leaves_the_blueprint(small, damaged):
    bundle, result = small
    assert bundle.server["blueprint"] == {**damaged.server["blueprint"], "adapter": 8}
    assert result["after"]["distortion"] < result["before"]["distortion"]
    old, new = (load_file(one.weights("blueprint")) for one in (damaged, bundle))
    own = {name: value for name, value in new.items() if name.startswith("adapter.")}
    assert sum(value.numel() for value in own.values()) == result["trained_parameters"] < 3000
    assert torch.equal(new["medians"], old.pop("medians"))
    for name, value in old.items():
        assert torch.equal(new[f"blueprint.{name}"], value)


def test_an_adapter_is_trained_on(small, site, tmp_path, capsys):
    bundle, first = small
    code, result = _adapt(bundle, site, tmp_path / "again", *SHORT, "--lr", "5e-3")
    assert code == 0 and result["adapter"] == 8
    assert result["before"]["distortion"] < first["before"]["distortion"]
    old, new = (load_file(one.weights("blueprint")) for one in (bundle, Bundle.open(tmp_path / "again")))
    assert set(old) == set(new)
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    assert changed and all(name.startswith("adapter.") for name in changed)
    assert _adapt(bundle, site, tmp_path / "other", "--adapter", "4")[0] == 2
    assert "width 8, not 4" in capsys.readouterr().err


def test_an_adapter_begins_as_the_identity():
    blueprint = torch.nn.Sequential(torch.nn.Conv2d(3, 6, 1), torch.nn.BatchNorm2d(6))
    adapted = AdaptedBlueprint(blueprint, channels=6, width=2).train()
    latent = torch.randn(2, 3, 8, 8)
    assert torch.equal(adapted(latent), blueprint.eval()(latent))
    assert not blueprint.training and blueprint[1].num_batches_tracked == 0
    trained = {name for name, value in adapted.named_parameters() if value.requires_grad}
    assert trained and all(name.startswith("adapter.") for name in trained)


def test_frames_kept_apart_are_never_drawn(site, damaged):
    data = Site(SiteSpec(str(site), every=2), site)  # 6 of 11: the sixth is kept apart
    assert [frame.key for frame in data.held_out()] == ["f09"]
    pool = data.pool(damaged.codec)
    names = {shot.key.rpartition("/")[2] for shot in pool}
    assert names == {"f00", "f02", "f04", "f06", "f08"}
    batches = site_batches(pool, seed=0, batch=8, steps=20)
    drawn = {key for step in range(20) for key in batches.describe(step).split(", ")}
    assert drawn == {shot.key for shot in pool}


def test_crops_have_the_scale_of_the_codec(site, damaged):
    pool = Site(SiteSpec(str(site)), site).pool(damaged.codec)
    assert {shot.rgb.shape for shot in pool} == {(*SIZE, 3)}
    image = site_batches(pool, seed=0, batch=4, steps=1)[0]["image"]
    assert image.shape == (4, 3, *SIZE) and image.dtype == torch.uint8


def test_too_few_frames(site, damaged, tmp_path, capsys):
    with pytest.raises(DataError, match=r"has 4 frames.* at least 5"):
        Site(SiteSpec(str(site), every=3), site)
    assert _adapt(damaged, site, tmp_path / "out", "--frames", "4")[0] == 2
    assert "at least 5" in capsys.readouterr().err


def test_worse_is_a_finding_and_not_written(damaged, site, tmp_path, capsys):
    harm = ["--steps", "2", "--batch", "1", "--lr", "0.5"]
    code, result = _adapt(damaged, site, tmp_path / "out", *harm)
    assert (
        code == 1
        and result["out"] is None
        and "features" in result["worse"]
        and not (tmp_path / "out").exists()
    )
    assert "worse" in capsys.readouterr().err
    (checkpoint,) = (tmp_path / "runs").glob("adapt-damaged-*/checkpoint.pt")
    trained = checkpoint.stat().st_mtime_ns
    code, result = _adapt(damaged, site, tmp_path / "out", *harm, "--keep-anyway")
    assert code == 1 and Bundle.open(tmp_path / "out").name == "out"
    assert checkpoint.stat().st_mtime_ns == trained


def test_an_interrupted_adaptation_goes_on(damaged, site, tmp_path, monkeypatch):
    monkeypatch.setattr("frankensplit.training.adapt.CHECKPOINT_EVERY", 2)
    plan, loss, calls = ["--steps", "4", "--batch", "1"], TrainBlueprint.loss, []

    def interrupted(self, batch, progress):
        calls.append(progress)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return loss(self, batch, progress)

    monkeypatch.setattr(TrainBlueprint, "loss", interrupted)
    assert _adapt(damaged, site, tmp_path / "out", *plan) == (130, None)
    assert not list(tmp_path.glob("*out*"))
    _adapt(damaged, site, tmp_path / "out", *plan, "--keep-anyway")
    assert np.allclose(calls, [0, 0.25, 0.5, 0.75, 0.5, 0.75])  # two steps were kept
    assert Bundle.open(tmp_path / "out").codec.id == damaged.codec.id


def test_other_folders_are_not_overwritten(damaged, site, tmp_path, capsys):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "diary.txt").write_text("dear diary")
    assert _adapt(damaged, site, tmp_path / "notes")[0] == 2
    assert "holds diary.txt, which is not part of a bundle" in capsys.readouterr().err
    before = damaged.manifest
    assert _adapt(damaged, site, damaged.path)[0] == 2
    assert "give another --out" in capsys.readouterr().err and Bundle.open(damaged.path).manifest == before


@pytest.mark.parametrize("wrong", [["--lr", "0"], ["--lr", "nan"], ["--seed", "-1"], ["--steps", "0"]])
def test_wrong_usage(wrong, damaged):
    with pytest.raises(SystemExit) as usage:
        main(["adapt", str(damaged.path), "--data", "x", *wrong])
    assert usage.value.code == 2
