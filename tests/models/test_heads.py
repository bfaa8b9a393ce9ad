# SPDX-License-Identifier: Apache-2.0
"""Heads: targets that are perfectly met give the truth back, in source pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from frankensplit.data.truth import Boxes, Truth
from frankensplit.errors import BundleError, DataError
from frankensplit.geometry import Geometry
from frankensplit.models.heads import build_head, head_class, heads_with_truth, truth_classes
from frankensplit.models.heads.detections import boxes_from_mask
from frankensplit.models.heads.fusion import Fusion
from frankensplit.models.heads.presence import present_classes

CHANNELS = [8, 16, 32]
STRIDES = (8, 16, 32)
CLASSES = [f"class{i}" for i in range(11)]
LABELS = {
    "segmentation": {"classes": CLASSES, "ignore": 11, "frequency": [0.1] * 11},
    "presence": {"classes": CLASSES},
    "detections": {"classes": ["car", "pedestrian", "bicyclist"], "mask_indices": [8, 9, 10]},
    "classification": {"classes": CLASSES, "exclusive": True},
}


@pytest.fixture
def mask():
    mask = np.full((352, 480), 3, np.uint8)
    mask[200:280, 64:200] = 8
    mask[150:260, 300:340] = 9
    mask[40:48, 40:48] = 10
    return mask


def _truth(name, mask):
    return Truth(label=4) if name == "classification" else Truth(mask)


def _features(height, width, strides=STRIDES):
    torch.manual_seed(0)
    return [torch.randn(1, c, height // s, width // s) for c, s in zip(CHANNELS, strides, strict=True)]


@pytest.mark.parametrize("name", LABELS)
def test_loss_falls_when_trained_on_one_mask(name, mask):
    torch.manual_seed(0)
    head = build_head(name, CHANNELS, LABELS[name], STRIDES)
    features = _features(*mask.shape)
    targets = head.targets(_truth(name, mask), LABELS[name])
    batch = {key: torch.from_numpy(value)[None] for key, value in targets.items()}
    optimiser = torch.optim.Adam(head.parameters(), lr=5e-3)
    losses = []
    for _ in range(25):
        loss = head.loss(head(features), batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("name", LABELS)
def test_loss_is_for_the_same_targets_whatever_the_finest_stride(name, mask):
    head = build_head(name, CHANNELS, LABELS[name], (16, 16, 32))
    batch = {k: torch.from_numpy(v)[None] for k, v in head.targets(_truth(name, mask), LABELS[name]).items()}
    loss = head.loss(head(_features(*mask.shape, (16, 16, 32))), batch)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.abs().sum() > 0 for p in head.parameters())


def test_boxes_are_targets_as_components_are(mask):
    labels = LABELS["detections"]
    boxes = head_class("detections", labels).truth(Truth(mask), labels)
    given = Truth(boxes=Boxes.of(boxes.boxes, boxes.class_ids, mask.shape))
    head = head_class("detections", labels)
    for key, value in head.targets(Truth(mask), labels).items():
        np.testing.assert_array_equal(head.targets(given, {"classes": labels["classes"]})[key], value)


@pytest.mark.parametrize(
    ("name", "truth", "message"),
    [
        ("segmentation", Truth(label=1), "truth is label, expected mask"),
        ("classification", Truth(), "truth is unknown, expected label"),
        ("presence", Truth(), "truth is unknown, expected mask or boxes or label"),
        ("detections", Truth(label=1), "truth is label, expected boxes or mask"),
    ],
)
def test_truth_of_another_kind_is_refused(name, truth, message):
    head = head_class(name, LABELS[name])
    for make in (head.targets, head.truth):
        with pytest.raises(DataError, match=message):
            make(truth, LABELS[name])


def test_a_component_is_no_box_where_no_mask_class_is_one(mask):
    labels = {"classes": ["car"]}
    with pytest.raises(DataError, match="truth is mask, expected boxes"):
        head_class("detections", labels).truth(Truth(mask), labels)


def test_classification_by_hand():
    labels = {"classes": ["a", "b"], "exclusive": True}
    head = build_head("classification", CHANNELS, labels, STRIDES)
    raw = torch.tensor([[np.log(3.0), 0.0]], dtype=torch.float32)  # 3/4 and 1/4
    even = torch.zeros(1, 2)
    # labels of 0.95 and 0.05, over the ln 2 of a guess
    smoothed = -(0.95 * np.log(0.75) + 0.05 * np.log(0.25)) / np.log(2)
    assert head.loss(raw, {"label": torch.tensor([0])}).item() == pytest.approx(smoothed, rel=1e-5)
    assert head.loss(even, {"label": torch.tensor([1])}).item() == pytest.approx(1)
    divergence = (0.5 * np.log(0.5 / 0.75) + 0.5 * np.log(0.5 / 0.25)) / np.log(2)
    assert head.disagreement(raw, even).item() == pytest.approx(divergence, rel=1e-5)
    assert head.disagreement(raw, raw).item() == pytest.approx(0, abs=1e-7)
    result = head.result(raw, Geometry(32, 32, 32, 32))
    np.testing.assert_allclose(result.scores, [0.75, 0.25], rtol=1e-6)
    assert head_class("classification", labels).truth(Truth(label=1), labels).scores.tolist() == [0, 1]


def test_classification_sees_the_two_deepest_features():
    head = build_head("classification", CHANNELS, LABELS["classification"], STRIDES)
    features = _features(64, 96)
    raw = head(features)
    assert raw.shape == (1, 11)
    assert torch.equal(head([features[0] + 1, *features[1:]]), raw)
    for place in (1, 2):
        changed = [feature.roll(1, 1) if at == place else feature for at, feature in enumerate(features)]
        assert not torch.allclose(head(changed), raw)


def test_presence_of_the_one_class_of_a_frame():
    head = head_class("presence", {})
    assert head.truth(Truth(label=2), {"classes": ["a", "b", "c"]}).scores.tolist() == [0, 0, 1]


def test_presence_of_boxes_is_that_of_a_large_one():
    head, labels = head_class("presence", {}), {"classes": ["a", "b", "c"]}
    # Half a percent of 100x100 pixels are 50: the box of class 0 has 49, those of class 2 have 100 and 4.
    boxes = Boxes.of([(0, 0, 7, 7), (10, 10, 20, 20), (50, 50, 52, 52)], [0, 2, 2], (100, 100))
    assert head.truth(Truth(boxes=boxes), labels).scores.tolist() == [0, 0, 1]
    assert head.truth(Truth(boxes=Boxes.of([], [], (8, 8))), labels).scores.tolist() == [0, 0, 0]


def test_presence_and_detections_of_the_same_classes_learn_from_the_same_boxes():
    classes = {"classes": ["cat", "train"]}
    assert heads_with_truth({"presence": classes, "detections": classes}, "boxes") == [
        "presence",
        "detections",
    ]


def test_a_head_may_have_another_name_than_its_kind():
    labels = {"classes": ["day", "night"], "exclusive": True, "head": "classification"}
    head = build_head("light", CHANNELS, labels, STRIDES)
    assert type(head) is head_class("classification", {}) is head_class("light", labels)
    with pytest.raises(BundleError, match="no head 'light'"):
        head_class("light", {})


def test_truth_is_mapped_to_the_classes_of_the_heads_that_learn_from_it():
    labels = {
        **LABELS,
        "light": {"classes": ["day", "night"], "exclusive": True, "head": "classification"},
        "parts": {"classes": ["wheel"], "head": "detections"},
    }
    assert truth_classes(labels) == {
        "classes": CLASSES,
        "ignore": 11,
        "label_classes": CLASSES,
        "box_classes": LABELS["detections"]["classes"],
    }
    assert heads_with_truth(labels, "mask") == ["segmentation", "presence", "detections"]
    assert heads_with_truth(labels, "boxes") == ["detections"]  # parts has other classes
    assert heads_with_truth(labels, "label") == ["presence", "classification"]
    assert heads_with_truth(labels, None) == []
    assert truth_classes({}) == {"classes": None, "ignore": 255, "label_classes": None, "box_classes": None}


def test_fusion_at_stride_8_is_what_bundles_were_trained_with():
    torch.manual_seed(1)
    fusion = Fusion(CHANNELS, 6, STRIDES)
    features = _features(64, 96)
    merged = fusion.context(features[2].mean((2, 3), keepdim=True))
    for lateral, feature in reversed(list(zip(fusion.lateral, features, strict=True))):
        y = lateral(feature)
        merged = y + F.interpolate(merged, size=y.shape[-2:], mode="bilinear", align_corners=False)
    expected = torch.relu(merged + fusion.project(fusion.mix(fusion.depthwise(merged))))
    assert torch.equal(fusion(features), expected)


def test_perfect_centres_give_the_boxes_back(mask):
    head = build_head("detections", CHANNELS, LABELS["detections"], STRIDES)
    targets = head.targets(Truth(mask), LABELS["detections"])
    heat = torch.from_numpy(targets["heat"])[None].clamp(1e-4, 1 - 1e-4).logit()
    sides = torch.from_numpy(targets["sides"])[None]
    result = head.result((heat, sides), Geometry(352, 480, 352, 480))
    truth = head_class("detections", {}).truth(Truth(mask), LABELS["detections"])
    confident = result.scores > 0.9
    found = {int(c): box for c, box in zip(result.class_ids[confident], result.boxes[confident], strict=True)}
    assert len(found) == confident.sum() == 3
    for class_id, box in zip(truth.class_ids, truth.boxes, strict=True):
        np.testing.assert_allclose(found[int(class_id)], box, atol=1.0)


@pytest.mark.parametrize(("max_overlap", "count"), [(None, 2), (0.9, 2), (0.6, 1)])
def test_a_box_within_a_better_one_is_left_out_where_the_labels_say_so(max_overlap, count):
    labels = {"classes": ["car", "bus"]} | ({"max_overlap": max_overlap} if max_overlap else {})
    head = build_head("detections", CHANNELS, labels, STRIDES)
    heat, sides = torch.full((1, 2, 12, 16), -9.0), torch.zeros(1, 4, 12, 16)
    for x, height in ((6, 2.0), (8, 1.0)):  # two peaks of one object, 48 pixels to each side
        heat[0, 0, 6, x] = height
        sides[0, :, 6, x] = float(np.log(6))
    heat[0, 1, 6, 6] = 0.5  # another class hides nothing
    result = head.result((heat, sides), Geometry(96, 128, 96, 128))
    assert (result.class_ids == 0).sum() == count and (result.class_ids == 1).sum() == 1
    assert (np.diff(result.scores) <= 0).all()
    nothing = head.result((torch.full_like(heat, -9.0), sides), Geometry(96, 128, 96, 128))
    assert nothing.boxes.shape == (0, 4)


def test_boxes_of_components_and_small_ones_left_out(mask):
    mask[0:5, 0:5] = 8  # 25 pixels
    boxes = boxes_from_mask(mask, [8, 9, 10])
    assert boxes.class_ids.tolist() == [0, 1, 2]
    assert boxes.corners.tolist() == [[64, 200, 200, 280], [300, 150, 340, 260], [40, 40, 48, 48]]


def test_presence_counts_half_a_percent():
    mask = np.zeros((100, 100), np.uint8)
    mask[0, :50] = 4
    mask[1, :49] = 5
    mask[2, :] = 11  # void is not a class
    assert np.flatnonzero(present_classes(mask, 11)).tolist() == [0, 4]


def test_mask_comes_back_in_source_pixels():
    head = build_head("segmentation", CHANNELS, LABELS["segmentation"], STRIDES)
    geometry = Geometry(720, 1280, 360, 480)
    raw = torch.zeros(1, 11, geometry.padded_height // 4, geometry.padded_width // 4)
    raw[:, 2] = 1
    raw[:, 7, :, : geometry.scaled_width // 8] = 2
    mask = head.result(raw, geometry).mask
    assert mask.shape == (720, 1280) and mask.dtype == np.uint8
    assert (mask[:, :600] == 7).all() and (mask[:, 680:] == 2).all()


def test_unknown_head_names_the_known():
    with pytest.raises(BundleError, match=r"depth.*segmentation"):
        build_head("depth", CHANNELS, {}, STRIDES)
