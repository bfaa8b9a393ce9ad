# SPDX-License-Identifier: Apache-2.0
"""Shards written anywhere are read by DIR:SPLIT; what is wrong with one is said."""

from __future__ import annotations

import io
import json
import tarfile

import cv2
import numpy as np
import pytest

from frankensplit.data.scenes import street_scene
from frankensplit.data.shards import open_shards
from frankensplit.errors import DataError

LABELS = {
    "class_names": ["Sky", "Car"],
    "class_colors_rgb": [[1, 2, 3], [4, 5, 6]],
    "void_index": 11,
    "frequency": {"train": {"pixel_fraction": [0.6, 0.3, 0.1]}},
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "labels.json").write_text(json.dumps(LABELS))
    with tarfile.open(tmp_path / "train-00000.tar", "w") as tar:
        for number in range(3):
            picture = np.full((6, 8, 3), 40 * number, np.uint8)
            picture[:, :, 2] = 200  # red, in OpenCV's order
            _add(tar, f"deep/f{number}.png", cv2.imencode(".png", picture)[1].tobytes())
            mask = np.full((6, 8), number, np.uint8)
            _add(tar, f"deep/f{number}.mask.png", cv2.imencode(".png", mask)[1].tobytes())
    return tmp_path


def _add(tar, name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def test_samples_in_order_with_colors_and_masks(folder, tmp_path):
    samples = list(open_shards(f"{folder}:train", tmp_path / "elsewhere"))
    assert [sample.key for sample in samples] == ["deep/f0", "deep/f1", "deep/f2"]
    assert samples[1].image()[0, 0].tolist() == [200, 40, 40]
    assert (samples[2].mask() == 2).all() and samples[2].image().shape == (6, 8, 3)


@pytest.mark.parametrize(
    ("spec", "named"), [("camvid", "SET:SPLIT"), ("nowhere:train", "nowhere"), ("{folder}:test", "train")]
)
def test_wrong_names_are_explained(folder, spec, named):
    with pytest.raises(DataError, match=named):
        open_shards(spec.format(folder=folder), folder)


def test_damaged_shard_is_named(folder):
    path = folder / "train-00000.tar"
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(DataError, match="train-00000"):
        list(open_shards(f"{folder}:train", folder))


def test_street_splits_share_no_frame():
    train, val = (street_scene(split, 0) for split in ("train", "val"))
    assert not np.array_equal(train.rgb, val.rgb)
    with pytest.raises(DataError, match="test"):
        street_scene("test", 0)
