# SPDX-License-Identifier: Apache-2.0
"""What heads are told of their data: classes, colours, which mask classes are boxes, how often classes occur."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from frankensplit.errors import DataError
from frankensplit.models.heads import head_class
from frankensplit.training.data.label_sets import load_labelled
from frankensplit.training.recipe import HeadSpec, RecipeSource
from frankensplit.training.where import Where

ABOUT = {"class_names": ["sky", "Car"], "class_colors_rgb": [[1, 2, 3], [4, 5, 6]], "void_index": 2}


@pytest.fixture
def masks(tmp_path):
    """A folder of two pictures with masks; the second is left out by the recipe."""
    for name, car_rows in (("a", 6), ("b", 0)):
        mask = np.zeros((32, 32), np.uint8)
        mask[:car_rows] = 1
        mask[30:] = 2
        for folder, pixels in (("images", np.zeros((32, 32, 3), np.uint8)), ("masks", mask)):
            (tmp_path / folder).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / folder / f"{name}.png"), pixels)
    (tmp_path / "labels.json").write_text(json.dumps(ABOUT))
    return tmp_path


def test_label_sets_follow_the_set_and_frequencies_are_counted(masks):
    heads = [HeadSpec(kind="segmentation"), HeadSpec(kind="detections", name="cars", detect=["Car"])]
    source = RecipeSource(data=str(masks), exclude="^b")
    labels, pools, held_out = load_labelled(heads, [source], Where(masks, masks))
    assert [len(pool) for pool in (*pools, *held_out)] == [1, 1]
    assert labels["cars"] == {
        "classes": ["car"],
        "max_overlap": 0.6,
        "colors": [[4, 5, 6]],
        "mask_indices": [1],
        "head": "detections",
    }
    segmentation = labels["segmentation"]
    assert segmentation["classes"] == ["sky", "Car"] and segmentation["ignore"] == 2
    sky, car = 24 * 32 + 1, 6 * 32 + 1  # void is not counted, each class has one pixel more
    assert segmentation["frequency"] == [round(sky / (sky + car), 8), round(car / (sky + car), 8)]


def test_a_set_without_names_is_refused(masks):
    (masks / "labels.json").unlink()
    with pytest.raises(DataError, match=r"labels\.json with class_names"):
        load_labelled([HeadSpec(kind="segmentation")], [RecipeSource(data=str(masks))], Where(masks, masks))


@pytest.mark.parametrize(
    ("about", "detect", "named"),
    [(ABOUT, ["Truck"], "Truck"), ({**ABOUT, "void_index": 0}, ["Car"], "void_index of the set is 0")],
)
def test_what_a_set_lacks_is_named(about, detect, named):
    with pytest.raises(DataError, match=named):
        head_class("detections", {}).label_set(about, detect)


def test_void_name_behind_the_classes_is_no_class():
    about = {"class_names": ["sky", "Car", "void"], "void_index": 2}
    assert head_class("segmentation", {}).label_set(about, []) == {"classes": ["sky", "Car"], "ignore": 2}
    assert head_class("classification", {}).label_set({"class_names": ["a"]}, []) == {
        "classes": ["a"],
        "exclusive": True,
    }
