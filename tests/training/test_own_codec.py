# SPDX-License-Identifier: Apache-2.0
"""``adapt --encoder``: a codec for one camera, with all levels, from frames without labels; the rest stays."""

from __future__ import annotations

import json
from importlib.util import find_spec

import cv2
import numpy as np
import pytest
from small_bundle import write_small

from frankensplit.bundle import Bundle
from frankensplit.cli import main
from frankensplit.data.street import Street
from frankensplit.edge.encoder import FrameEncoder
from frankensplit.errors import PacketError
from frankensplit.inference.predictor import Predictor
from frankensplit.training.tasks.codec import TrainCodec

pytestmark = pytest.mark.skipif(find_spec("compressai") is None, reason="training needs compressai")

SIZE = (96, 128)
COUNT = 10
PLAN = ["--encoder", "--steps", "4", "--batch", "2"]


@pytest.fixture(scope="module")
def small(tmp_path_factory, bundle_path):
    """The repository's bundle for small frames."""
    return write_small(bundle_path, tmp_path_factory.mktemp("bundles") / "small", SIZE)


@pytest.fixture(scope="module")
def camera(tmp_path_factory):
    """A folder of frames."""
    folder, street = tmp_path_factory.mktemp("camera"), Street(3, *SIZE)
    for index in range(COUNT):
        cv2.imwrite(str(folder / f"f{index:02d}.png"), street.frame(5 * index).rgb[:, :, ::-1])
    return folder


def _adapt(bundle, camera, out, *more):
    """Run the command; return its exit code and its JSON."""
    result = out.parent / f"{out.name}.json"
    places = ["--out", str(out), "--runs", str(out.parent / "runs"), "--json", str(result)]
    code = main(
        ["adapt", str(bundle.path), "--data", str(camera), "--other", str(camera), *places, *PLAN, *more]
    )
    return code, json.loads(result.read_text()) if result.exists() else None


@pytest.fixture(scope="module")
def own(small, camera, tmp_path_factory):
    out = tmp_path_factory.mktemp("own") / "mine"
    _, result = _adapt(small, camera, out, "--keep-anyway")
    return Bundle.open(out), result


def test_it_is_another_codec_with_all_levels(own, small):
    bundle, result = own
    assert bundle.name == "mine" and bundle.codec.id != small.codec.id
    assert (result["codec_id_before"], result["codec_id_after"]) == (small.codec.id_hex, bundle.codec.id_hex)
    assert [one.step for one in bundle.codec.levels] == [one.step for one in small.codec.levels]
    assert set(bundle.codec.precisions) == set(small.codec.precisions)
    assert bundle.weights("densities").is_file()
    assert "unlabelled frames" in (bundle.path / "card.md").read_text()


def test_backbone_and_heads_stay(own, small):
    bundle, _ = own
    for part in ("server/backbone.safetensors", "server/heads.safetensors", "labels.json"):
        assert bundle.manifest["files"][part] == small.manifest["files"][part]
    assert bundle.server == small.server


def test_its_packets_are_served_and_no_others(own, small, camera):
    bundle, _ = own
    rgb = cv2.imread(str(camera / "f00.png"))
    predictor = Predictor(bundle, threads=1)
    for level in range(len(bundle.codec.levels)):
        found = predictor.predict(FrameEncoder(bundle.codec).encode(rgb, level).data)
        assert found.results["segmentation"].mask.shape == SIZE
    with pytest.raises(PacketError):
        predictor.predict(FrameEncoder(small.codec).encode(rgb).data)


def test_each_level_is_measured_before_and_after(own, small):
    _, result = own
    levels = range(len(small.codec.levels))
    assert [(row["codec"], row["level"]) for row in result["rows"]] == [
        (codec, level) for codec in ("before", "after") for level in levels
    ]
    assert {row["frames"] for row in result["rows"]} == {COUNT // 5}
    for one in result["bytes_at_equal_agreement"]:
        first = next(row for row in result["rows"] if (row["codec"], row["level"]) == ("before", 0))
        assert (one["before"], one["agreement"]) == (first["bytes_per_frame"], first["heads"][one["head"]])
    assert {"command", "commit", "machine"} <= set(result)


def test_a_codec_that_got_worse_is_not_written(small, camera, tmp_path, capsys):
    code, result = _adapt(small, camera, tmp_path / "bad", "--lr", "0.3")
    assert code == 1 and result["worse"] == ["features"] and result["out"] is None
    assert not (tmp_path / "bad").exists() and "worse" in capsys.readouterr().err


def test_an_interrupted_training_goes_on(small, camera, tmp_path, monkeypatch):
    monkeypatch.setattr("frankensplit.training.own_codec.CHECKPOINT_EVERY", 2)
    loss, calls = TrainCodec.loss, []

    def interrupted(self, batch, progress):
        calls.append(progress)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return loss(self, batch, progress)

    monkeypatch.setattr(TrainCodec, "loss", interrupted)
    assert _adapt(small, camera, tmp_path / "out") == (130, None)
    assert not (tmp_path / "out").exists()
    _adapt(small, camera, tmp_path / "out", "--keep-anyway")
    assert np.allclose(calls, [0, 0.25, 0.5, 0.75, 0.5, 0.75])  # two steps were kept


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--encoder", "--adapter", "8"], "--adapter and --encoder exclude each other"),
        (["--rate", "0.2"], "with --encoder only: give both"),
        (["--other", "street:val"], "with --encoder only: give both"),
    ],
)
def test_options_that_do_not_fit(small, camera, options, named, capsys):
    assert main(["adapt", str(small.path), "--data", str(camera), *options]) == 2
    assert named in capsys.readouterr().err
