# SPDX-License-Identifier: Apache-2.0
"""What restored features are judged by, on features whose right judgement is known."""

from __future__ import annotations

import copy

import pytest
import torch

from frankensplit.data.truth import Truth
from frankensplit.models.backbone import build_backbone, freeze
from frankensplit.models.heads import build_head
from frankensplit.training.tasks.backbone import BackboneWithHeads
from frankensplit.training.tasks.objectives import (
    HeadDistillation,
    StageDistillation,
    TaskDistillation,
    TaskLoss,
)

LABELS = {
    "segmentation": {"classes": ["a", "b", "c"], "ignore": 11, "frequency": [0.3] * 3},
    "presence": {"classes": ["a", "b", "c"]},
    "detections": {"classes": ["a"], "mask_indices": [0]},
}
WEIGHTS = {"segmentation": 1.0, "presence": 0.5, "detections": 0.5}


@pytest.fixture(scope="module")
def teacher():
    torch.manual_seed(0)
    backbone = build_backbone("convnext_atto", ls_init_value=0.5)
    heads = {name: build_head(name, backbone.channels, one, backbone.strides) for name, one in LABELS.items()}
    return freeze(BackboneWithHeads(backbone, heads, WEIGHTS))


@pytest.fixture(scope="module")
def batch(teacher):
    torch.manual_seed(1)
    mask = torch.zeros(2, 64, 96, dtype=torch.uint8)
    mask[:, 16:48, 16:64] = 1
    batch = {"image": torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8)}
    for name, head in teacher.heads.items():
        targets = [head.targets(Truth(one.numpy()), LABELS[name]) for one in mask]
        batch |= {
            f"{name}.{key}": torch.stack([torch.as_tensor(one[key]) for one in targets]) for key in targets[0]
        }
    return batch | {"saliency": torch.zeros(2, 8, 12)}


def test_head_distillation_by_hand(teacher, batch):
    objective = HeadDistillation(teacher, torch.full((80,), 2.0))
    target = objective.target(batch)
    assert target.shape == (2, 80, 8, 12)
    assert objective.loss(target, batch).item() == 0
    assert objective.loss(target + 3, batch).item() == pytest.approx(2 * 9, rel=1e-4)


def test_errors_count_more_where_saliency_is_high(teacher, batch):
    objective = HeadDistillation(teacher, torch.ones(80), uniform=0.5, salient=0.5)
    maps = torch.zeros(2, 8, 12)
    maps[:, :, :6] = 1.0
    target, error = objective.target(batch), torch.zeros(2, 80, 8, 12)
    error[:, :, :, :6] = 1.0
    salient = objective.loss(target + error, batch | {"saliency": maps}).item()
    elsewhere = objective.loss(target + error.flip(3), batch | {"saliency": maps}).item()
    assert salient == pytest.approx(0.5 * 0.5 + 0.5 * 0.5, rel=1e-4)  # gamma1 mean(d) + gamma2 mean(s d)
    assert elsewhere == pytest.approx(0.5 * 0.5, rel=1e-4)


def test_coarser_features_take_the_mean_of_the_map(teacher, batch):
    objective = HeadDistillation(teacher, torch.ones(1), uniform=0.0, salient=1.0)
    objective.target = lambda batch: torch.zeros(2, 5, 4, 6)
    maps = torch.zeros(2, 8, 12)
    maps[:, ::2, ::2] = 1.0  # a quarter of each 2x2 block
    assert objective.loss(torch.ones(2, 5, 4, 6), batch | {"saliency": maps}).item() == pytest.approx(0.25)


def test_stage_distillation_is_relative_to_each_stage(teacher, batch):
    objective = StageDistillation(teacher)
    target = objective.target(batch)
    assert objective.loss(target, batch).item() == pytest.approx(0, abs=1e-6)
    assert 0.1 < objective.loss(torch.zeros_like(target), batch).item() < 10


def test_task_loss_of_perfect_features_is_the_teachers(teacher, batch):
    objective = TaskLoss(teacher)
    target = objective.target(batch)
    expected, _ = teacher.heads_loss(teacher.backbone.tail(target), batch)
    assert objective.loss(target, batch).item() == pytest.approx(expected.item() / 2, rel=1e-5)


def test_task_distillation_of_perfect_features_is_half_the_task_loss(teacher, batch):
    target = TaskLoss(teacher).target(batch)
    whole = TaskLoss(teacher).loss(target, batch).item()
    assert TaskDistillation(teacher).loss(target, batch).item() == pytest.approx(whole / 2, rel=1e-4)


@pytest.mark.parametrize("kind", [StageDistillation, TaskLoss, TaskDistillation])
def test_gradients_reach_the_features_and_no_teacher(teacher, batch, kind):
    objective = kind(teacher)
    restored = torch.zeros_like(objective.target(batch)).requires_grad_(True)
    objective.loss(restored, batch).backward()
    assert restored.grad.abs().sum() > 0
    assert all(p.grad is None for p in teacher.parameters())


@pytest.mark.parametrize("name", LABELS)
def test_disagreement_is_zero_for_the_same_and_grows(teacher, batch, name):
    objective, head = TaskLoss(teacher), teacher.heads[name]
    target = objective.target(batch)
    wanted = head(teacher.backbone.tail(target))
    near = head(teacher.backbone.tail(target + 0.1 * torch.randn_like(target)))
    far = head(teacher.backbone.tail(torch.zeros_like(target)))
    same, little, much = (head.disagreement(raw, wanted).item() for raw in (wanted, near, far))
    assert same == pytest.approx(0, abs=1e-6) and 0 < little < much


def test_copies_of_a_task_share_the_teacher(teacher):
    objective = TaskLoss(teacher)
    holder = torch.nn.Linear(1, 1)
    holder.objective = objective
    assert copy.deepcopy(holder).objective is objective
