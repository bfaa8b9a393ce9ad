# SPDX-License-Identifier: Apache-2.0
"""Any finite source gives training frames; what cannot be read is named, and missing truth is an error in time."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from frankensplit.errors import DataError, RecipeError
from frankensplit.training.data import pools
from frankensplit.training.data.batches import Batches
from frankensplit.training.data.pools import load_pool, read_pictures
from frankensplit.training.recipe import Crops, RecipeSource, parse_recipe

CLASSES = ["road", "car"]
SEGMENTATION = {"segmentation": {"classes": CLASSES, "ignore": 9, "frequency": [0.5, 0.5]}}
BOXES = {"detections": {"classes": ["car"]}}
KINDS = {"classification": {"classes": ["ant", "zebra"], "exclusive": True}}


def _picture(value):
    return np.full((48, 64, 3), value, np.uint8)


def _write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels)


@pytest.fixture
def plain(tmp_path):
    """Six pictures without truth."""
    for index in range(6):
        _write(tmp_path / "plain" / f"f{index}.png", _picture(10 * index))
    return tmp_path / "plain"


@pytest.fixture
def masked(tmp_path):
    """Three pictures with masks of a set that numbers the classes otherwise."""
    for index in range(3):
        _write(tmp_path / "masked" / "images" / f"m{index}.png", _picture(index))
        _write(tmp_path / "masked" / "masks" / f"m{index}.png", np.full((48, 64), index, np.uint8))
    labels = {"class_names": ["Car", "Tree", "Road"], "void_index": 200}
    (tmp_path / "masked" / "labels.json").write_text(json.dumps(labels))
    return tmp_path / "masked"


@pytest.fixture
def boxed(tmp_path):
    """One picture with a car of 16x16 pixels."""
    _write(tmp_path / "boxed" / "b.png", _picture(5))
    image = {"id": 1, "file_name": "b.png", "height": 48, "width": 64}
    car = {"id": 1, "image_id": 1, "category_id": 4, "bbox": [16, 24, 16, 16]}
    content = {"categories": [{"id": 4, "name": "Car"}], "images": [image], "annotations": [car]}
    (tmp_path / "boxed" / "annotations.json").write_text(json.dumps(content))
    return tmp_path / "boxed"


@pytest.fixture
def sorted_kinds(tmp_path):
    for kind in ("zebra", "ant"):
        _write(tmp_path / "kinds" / kind / "x.png", _picture(len(kind)))
    return tmp_path / "kinds"


def _load(data, heads=None, **options):
    return load_pool(RecipeSource(data=str(data), **options), data, heads or {})


def _keys(loaded):
    return [shot.key.rpartition("/")[2] for shot in loaded.pool]


def _batches(loaded, heads, batch=4):
    crops = Crops(size=(32, 32), scale=(1.0, 1.0), light=0.0)
    return Batches(
        [one.pool for one in loaded], [1] * len(loaded), crops, heads, seed=1, batch=batch, steps=3
    )


def test_every_then_pattern_then_at_most(plain):
    assert _keys(_load(plain)) == ["f0", "f1", "f2", "f3", "f4", "f5"]
    assert _keys(_load(plain, every=2)) == ["f0", "f2", "f4"]
    assert _keys(_load(plain, every=2, exclude="f[01]")) == ["f2", "f4"]
    assert _keys(_load(plain, include="[1-5]", exclude="2", frames=3)) == ["f1", "f3", "f4"]
    pictures = read_pictures(RecipeSource(data=str(plain), every=3), plain)
    assert [picture[0, 0, 0] for picture in pictures] == [0, 30]


def test_keys_name_the_source(plain):
    assert _load(plain, frames=1).pool[0].key == f"{plain}/f0"


def test_the_street_has_as_many_frames_as_are_asked_for(tmp_path):
    loaded = load_pool(RecipeSource(data="street:val", frames=2), tmp_path, SEGMENTATION)
    assert _keys(loaded) == ["street_val_00000", "street_val_00001"]


def test_nothing_that_matches_is_an_error(plain):
    with pytest.raises(DataError, match="include='nine'"):
        _load(plain, include="nine")


def test_a_pattern_that_does_not_compile_is_named():
    recipe = {"task": "classify", "name": "x", "backbone": {"model": "m"}, "schedule": {"steps": 1, "lr": 1}}
    with pytest.raises(RecipeError, match=r"include.*not a regular expression"):
        parse_recipe({**recipe, "data": [{"data": "a:b", "include": "("}]}, "x.yaml")


def test_bad_pictures_are_named_and_counted(plain, capsys):
    (plain / "f1.png").write_bytes(b"broken")
    loaded = _load(plain)
    assert _keys(loaded) == ["f0", "f2", "f3", "f4", "f5"] and list(loaded.skipped) == ["f1.png"]
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and said[0].startswith(f"{plain}: skipped f1.png: ") and "damaged" in said[0]


def test_many_bad_pictures_are_summed_up(plain, capsys):
    for index in range(25):
        (plain / f"z{index:02d}.png").write_bytes(b"broken")
    assert len(_load(plain).skipped) == 25
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 11 and said[-1] == f"{plain}: 25 frames skipped in all"


def test_a_source_without_one_good_picture_is_an_error(plain):
    for path in plain.iterdir():
        path.write_bytes(b"broken")
    with pytest.raises(DataError, match="none of 6 frames can be used"):
        _load(plain)


def test_what_takes_too_much_memory_is_refused(plain, monkeypatch):
    monkeypatch.setattr(pools, "POOL_BYTES", 3 * 48 * 64 * 3)
    with pytest.raises(DataError, match=r"3 frames take .* `every` or `frames`"):
        _load(plain)
    assert len(_load(plain, every=2).pool) == 3


def test_masks_are_in_the_heads_classes(masked, capsys):
    loaded = _load(masked, SEGMENTATION)
    assert [int(shot.truth.mask[0, 0]) for shot in loaded.pool] == [1, 9, 0]
    assert "Tree" in capsys.readouterr().err
    batch = _batches([loaded], SEGMENTATION)[0]
    assert batch["segmentation.mask"].shape == (4, 32, 32)


def test_boxes_train_detections(boxed):
    loaded = _load(boxed, BOXES)
    batch = _batches([loaded], BOXES)[0]
    assert batch["detections.heat"].shape == (4, 1, 4, 4)
    assert batch["detections.heat"].amax() == 1


def test_classes_train_classification(sorted_kinds):
    loaded = _load(sorted_kinds, KINDS)
    assert loaded.classes == ["ant", "zebra"]
    batch = _batches([loaded], KINDS)[0]
    grey = batch["image"].flatten(1)[:, 0]
    assert batch["classification.label"].tolist() == [int(value == len("zebra")) for value in grey]
    assert batch["label"].tolist() == batch["classification.label"].tolist()


def test_any_truth_or_none_distils(plain, masked, boxed, sorted_kinds):
    loaded = [_load(one) for one in (plain, masked, boxed, sorted_kinds)]
    assert [one.pool[0].truth.kind for one in loaded] == [None, "mask", "boxes", "label"]
    batches = _batches(loaded, {}, batch=16)
    assert all(set(batches[step]) == {"image"} for step in range(3))


@pytest.mark.parametrize(
    ("heads", "learns"),
    [(SEGMENTATION, "mask"), (BOXES, "boxes"), (KINDS, "label")],
    ids=lambda one: str(one)[:16],
)
def test_a_source_without_the_truth_of_a_head_is_named(plain, heads, learns):
    loaded = _load(plain, heads)
    with pytest.raises(DataError, match=rf"{plain}/f0 .* unknown, but head .* learns from {learns}"):
        _batches([loaded], heads)


def test_truth_of_other_classes_is_none(masked):
    others = {"segmentation": {"classes": ["cat"], "ignore": 9, "frequency": [1.0]}}
    with pytest.raises(DataError, match="is unknown"):
        _batches([_load(masked, others)], others)
