# SPDX-License-Identifier: Apache-2.0
"""The loop: a resumed run equals an uninterrupted one; a NaN stops it; foreign runs are refused."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from torch import nn

from frankensplit.errors import RecipeError
from frankensplit.training.batches import Batches, Shot
from frankensplit.training.engine import Task, TrainingStopped, fit, load_weights
from frankensplit.training.recipe import Crops, Schedule

STEPS = 12


class Mean(Task):
    """Learn the mean colour of a batch."""

    def __init__(self, poison_at=None):
        super().__init__()
        self.color = nn.Linear(3, 3)
        self.seen, self.poison_at = 0, poison_at

    def loss(self, batch, progress):
        mean = batch["image"].float().mean((2, 3)) / 255
        loss = ((self.color(mean) - mean) ** 2).mean()
        self.seen += 1
        if self.poison_at == self.seen:
            loss = loss * float("nan")
        return loss, {"progress": progress}


@pytest.fixture
def batches():
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(5)]
    pool = [Shot(frame, frame[:, :, 0] % 11) for frame in frames]
    return Batches([pool], [1.0], Crops(size=(32, 32)), {}, seed=4, batch=2, steps=STEPS)


def _schedule():
    return Schedule(steps=STEPS, lr=0.05, warmup=3, ema=0.9, checkpoint_every=4)


def _task(**arguments):
    torch.manual_seed(1)
    return Mean(**arguments)


def test_resumed_run_equals_uninterrupted(tmp_path, batches):
    fit(_task(), batches, _schedule(), tmp_path / "whole", {"name": "run"}, "cpu")
    with pytest.raises(TrainingStopped, match="step 6"):
        fit(_task(poison_at=7), batches, _schedule(), tmp_path / "cut", {"name": "run"}, "cpu")
    fit(_task(), batches, _schedule(), tmp_path / "cut", {"name": "run"}, "cpu")
    whole, resumed = (load_weights(tmp_path / name)[0] for name in ("whole", "cut"))
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    assert (tmp_path / "whole" / "log.csv").read_text() == (tmp_path / "cut" / "log.csv").read_text()


def test_log_has_a_row_a_step_and_loss_falls(tmp_path, batches):
    fit(_task(), batches, _schedule(), tmp_path / "run", {"name": "run"}, "cpu")
    rows = list(csv.DictReader((tmp_path / "run" / "log.csv").open()))
    assert [int(row["step"]) for row in rows] == list(range(STEPS))
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])


def test_run_of_another_recipe_is_refused(tmp_path, batches):
    fit(_task(), batches, _schedule(), tmp_path / "run", {"name": "run", "seed": 1}, "cpu")
    with pytest.raises(RecipeError, match="seed"):
        fit(_task(), batches, _schedule(), tmp_path / "run", {"name": "run", "seed": 2}, "cpu")


def test_run_without_checkpoint_is_named(tmp_path):
    with pytest.raises(RecipeError, match="train that run first"):
        load_weights(tmp_path)


def test_batches_are_a_function_of_the_step(batches):
    again, other = batches[3]["image"], batches[4]["image"]
    assert torch.equal(batches[3]["image"], again)
    assert not torch.equal(again, other)
