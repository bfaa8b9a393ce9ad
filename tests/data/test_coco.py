# SPDX-License-Identifier: Apache-2.0
"""Sets of COCO's detection format: the boxes are those that pycocotools reads; what is wrong is named."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from data_files import picture, png, write_shard

from frankensplit.data.frames import open_frames
from frankensplit.data.sources import open_source
from frankensplit.errors import DataError

CATEGORIES = [{"id": 7, "name": "person"}, {"id": 3, "name": "Car"}, {"id": 90, "name": "bus stop"}]
IMAGES = [
    {"id": 11, "file_name": "b.png", "height": 48, "width": 64},
    {"id": 5, "file_name": "deep/a.png", "height": 48, "width": 64},
]
NUMBERS = itertools.count(1)


def _annotation(image, category, bbox, **more):
    number = next(NUMBERS)
    return {"id": number, "image_id": image, "category_id": category, "bbox": bbox, "iscrowd": 0, **more}


ANNOTATIONS = [
    _annotation(11, 7, [1, 2, 10, 20]),
    _annotation(11, 3, [50.5, 40, 30, 30]),  # beyond the right and the lower edge
    _annotation(11, 90, [0, 0, 64, 48], iscrowd=1),
    _annotation(11, 90, [5, 5, 0, 9]),  # no area
]


def _write(folder, name="annotations.json", inside="", **changes):
    content = {"categories": CATEGORIES, "images": IMAGES, "annotations": ANNOTATIONS, **changes}
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    for index, one in enumerate(IMAGES):
        file = folder / inside / one["file_name"]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(picture(index)))
    return path


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("annotations.json", ""),
        ("annotations_train.json", "images"),
        ("_annotations.coco.json", ""),
        ("annotations/instances_val2017.json", "val2017"),
        ("annotations/instances_val2017.json", "images"),
    ],
)
def test_layouts(tmp_path, name, inside):
    path = _write(tmp_path, name, inside)
    for spec in (str(tmp_path), str(path)):
        source = open_source(spec)
        frames = list(source)
        assert source.truth == "boxes" and source.labels() == {"class_names": ["Car", "person", "bus stop"]}
        assert [frame.name for frame in frames] == ["b", "deep/a"]
        np.testing.assert_array_equal(frames[1].rgb, picture(1))
        assert frames[0].boxes.corners.tolist() == [[1, 2, 11, 22], [50.5, 40, 64, 48]]
        assert frames[0].boxes.class_ids.tolist() == [1, 0]
        assert frames[1].boxes.corners.shape == (0, 4)


def test_boxes_are_those_that_pycocotools_reads(tmp_path):
    coco = pytest.importorskip("pycocotools.coco")
    path = _write(tmp_path)
    reference = coco.COCO(str(path))
    names = {one["id"]: one["name"] for one in reference.loadCats(reference.getCatIds())}
    source = open_source(str(tmp_path))
    classes = source.labels()["class_names"]
    for image, frame in zip(IMAGES, source, strict=True):
        wanted = reference.loadAnns(reference.getAnnIds(image["id"], iscrowd=False))
        wanted = [(names[one["category_id"]], *one["bbox"][:2]) for one in wanted if min(one["bbox"][2:]) > 0]
        found = [
            (classes[class_id], *box[:2])
            for class_id, box in zip(frame.boxes.class_ids, frame.boxes.corners.tolist(), strict=True)
        ]
        assert found == wanted


def test_boxes_are_mapped_to_a_heads_classes_by_name(tmp_path):
    _write(tmp_path)
    frames = open_frames(str(tmp_path), tmp_path, box_classes=["bicycle", "car"])
    boxes = [frame.boxes for frame in frames]
    assert frames.truth == "boxes" and frames.labels_of_set == ["Car", "person", "bus stop"]
    assert [one.class_ids.tolist() for one in boxes] == [[1], []]
    assert boxes[0].corners.tolist() == [[50.5, 40, 64, 48]] and boxes[0].frame == (48, 64)
    others = open_frames(str(tmp_path), tmp_path, box_classes=["cat"])
    assert others.truth is None and [frame.boxes for frame in others] == [None, None]
    assert any("cat" in note for note in others.notes)


def test_missing_and_wrong_pictures_are_skipped_by_name(tmp_path):
    path = _write(tmp_path)
    (tmp_path / "deep" / "a.png").unlink()
    source = open_source(str(path))
    assert [frame.name for frame in source] == ["b"] and [one.name for one in source.skipped] == [
        "deep/a.png"
    ]
    (tmp_path / "b.png").write_bytes(png(picture(0, 24, 32)))
    with pytest.raises(DataError, match=r"b\.png is 32x24, expected 64x48 as annotations\.json says"):
        list(open_source(str(path)))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"categories": None}, "expected lists categories"),
        ({"annotations": [_annotation(12, 7, [0, 0, 1, 1])]}, "picture 12 and category 7, not listed"),
        ({"annotations": [_annotation(11, 8, [0, 0, 1, 1])]}, "picture 11 and category 8, not listed"),
        ({"annotations": [_annotation(11, 7, [0, 0, 1])]}, "not of COCO's detection format"),
        ({"annotations": [_annotation(11, 7, [0, float("nan"), 1, 1])]}, "bbox"),
        ({"annotations": [{"image_id": 11, "category_id": 7}]}, "bbox"),
        ({"images": [], "annotations": []}, "lists no pictures"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, changes, named):
    _write(tmp_path, **changes)
    with pytest.raises(DataError, match=named):
        open_source(str(tmp_path))


def test_one_of_several_files_must_be_named(tmp_path):
    paths = [_write(tmp_path, f"annotations/instances_{split}.json") for split in ("train", "val")]
    with pytest.raises(DataError, match=r"instances_train\.json.*instances_val\.json"):
        open_source(str(tmp_path))
    assert open_source(str(paths[1])).count() == 2
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(DataError, match="expected lists"):
        open_source(str(tmp_path / "x.json"))


def _sharded(folder, images):
    """Write a shard of two pictures, and annotations of some images beside it."""
    write_shard(folder / "train-00000.tar", {f"{key}.png": png(picture(key)) for key in (1, 2)})
    content = {"categories": CATEGORIES, "images": images, "annotations": [_annotation(5, 3, [1, 2, 10, 20])]}
    (folder / "annotations").mkdir()
    (folder / "annotations" / "instances_train.json").write_text(json.dumps(content))


def test_shards_have_the_boxes_of_the_annotations_beside_them(tmp_path):
    size = {"height": 48, "width": 64}
    _sharded(tmp_path, [{"id": 9, "file_name": "2.png", **size}, {"id": 5, "file_name": "1.png", **size}])
    source = open_source(f"{tmp_path}:train")
    assert source.truth == "boxes" and source.labels() == {"class_names": ["Car", "person", "bus stop"]}
    first, second = source
    assert first.boxes.corners.tolist() == [[1, 2, 11, 22]] and first.boxes.class_ids.tolist() == [0]
    assert len(second.boxes.corners) == 0
    assert [path.name for path in source.files()] == ["train-00000.tar", "instances_train.json"]


def test_pictures_of_a_shard_that_the_annotations_do_not_fit_are_named(tmp_path):
    _sharded(tmp_path, [{"id": 5, "file_name": "1.png", "height": 24, "width": 64}])
    frames = open_frames(f"{tmp_path}:train", tmp_path)
    with pytest.raises(DataError, match="64x48, expected 64x24 as instances_train"):
        list(frames)
    assert "is not listed in instances_train.json" in frames.skipped["2"]
