# SPDX-License-Identifier: Apache-2.0
"""Heads: targets that are perfectly met give the truth back, in source pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from frankensplit.data.truth import Truth
from frankensplit.errors import BundleError
from frankensplit.geometry import Geometry
from frankensplit.models.heads import build_head, head_class
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
}


@pytest.fixture
def mask():
    mask = np.full((352, 480), 3, np.uint8)
    mask[200:280, 64:200] = 8
    mask[150:260, 300:340] = 9
    mask[40:48, 40:48] = 10
    return mask


def _features(height, width, strides=STRIDES):
    torch.manual_seed(0)
    return [torch.randn(1, c, height // s, width // s) for c, s in zip(CHANNELS, strides, strict=True)]


@pytest.mark.parametrize("name", LABELS)
def test_loss_falls_when_trained_on_one_mask(name, mask):
    torch.manual_seed(0)
    head = build_head(name, CHANNELS, LABELS[name], STRIDES)
    features = _features(*mask.shape)
    targets = head.targets(Truth(mask), LABELS[name])
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
    batch = {k: torch.from_numpy(v)[None] for k, v in head.targets(Truth(mask), LABELS[name]).items()}
    loss = head.loss(head(_features(*mask.shape, (16, 16, 32))), batch)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.abs().sum() > 0 for p in head.parameters())


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


def test_boxes_of_components_and_small_ones_left_out(mask):
    mask[0:5, 0:5] = 8  # 25 pixels
    boxes = boxes_from_mask(mask, [8, 9, 10])
    assert boxes.class_ids.tolist() == [0, 1, 2]
    assert boxes.corners.tolist() == [[64, 200, 200, 280], [300, 150, 340, 260], [40, 40, 48, 48]]


def test_presence_counts_half_a_percent():
    mask = np.zeros((100, 100), np.uint8)
    mask[0, :50] = 4
    mask[1, :49] = 5
    mask[2, :] = 11  # void is no class
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
