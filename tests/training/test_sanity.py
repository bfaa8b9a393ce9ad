# SPDX-License-Identifier: Apache-2.0
"""One batch by heart before a long run: what cannot learn is stopped, what can is not, and nothing else changes."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn
from toys import color_batches, color_task, schedule

from frankensplit.training.loop.checkpoint import load_weights
from frankensplit.training.loop.engine import fit
from frankensplit.training.loop.sanity import overfit_one_batch
from frankensplit.training.tasks.base import Task, TrainingStopped

LONG = 60


def _check(task, sanity_steps=6, lr=0.05, steps=LONG):
    plan = schedule(steps, sanity_steps=sanity_steps, lr=lr)
    overfit_one_batch(task, color_batches()[0], plan, seed=3, device="cpu")


class Answers(Task):
    """Deep enough to know something; learns to tell the strongest colour of a frame."""

    def __init__(self, drop=0.0):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Dropout(drop), nn.Linear(32, 3))

    def loss(self, batch, progress):
        mean = batch["image"].float().mean((2, 3)) / 64 - 2
        return nn.functional.cross_entropy(self.net(mean), mean.argmax(1)), {}


def test_task_that_learns_passes_in_one_line(capfd):
    _check(color_task())
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("overfitting one batch: loss ")


def test_noise_and_dropout_raise_no_alarm():
    for seed in range(3):
        torch.manual_seed(seed)
        _check(color_task(noise=0.3))
        _check(Answers(drop=0.5), lr=0.02)


@pytest.mark.parametrize("lr", [1e-7, 30.0])
def test_learning_rate_that_is_far_off_is_stopped(lr):
    with pytest.raises(TrainingStopped, match=r"took the loss from 0\.\d+ to .*learning rate"):
        _check(color_task(), lr=lr)


def test_loss_that_is_cut_off_from_the_weights_is_stopped():
    task = color_task()
    task.color.requires_grad_(False)
    with pytest.raises(TrainingStopped, match="does not depend on what is trained"):
        _check(task)


def test_nan_is_stopped_and_its_step_named():
    with pytest.raises(
        TrainingStopped, match=r"loss and gradient norm not finite .* in step 2 of overfitting"
    ):
        _check(color_task(poison=(3, math.nan)))


def test_weights_that_are_good_already_pass():
    torch.manual_seed(0)
    task, batch = Answers(), color_batches()[0]
    optimiser = torch.optim.Adam(task.parameters(), 0.05)
    for _ in range(300):
        optimiser.zero_grad()
        task.loss(batch, 0.0)[0].backward()
        optimiser.step()
    fresh = Answers()
    _check(task, lr=1e-7)  # cannot fall, but knows the batch
    with pytest.raises(TrainingStopped):
        _check(fresh, lr=1e-7)


def test_short_runs_go_without():
    _check(color_task(), lr=1e-7, steps=LONG - 1)
    _check(color_task(), lr=1e-7, sanity_steps=0)


def test_task_stays_as_it_is(tmp_path):
    task = color_task(noise=0.1)
    before = copy.deepcopy(task.state_dict())
    _check(task)
    assert task.calls == 0
    assert all(torch.equal(before[key], value) for key, value in task.state_dict().items())
    for name, steps in (("with", 2), ("without", 0)):
        plan = schedule(20, sanity_steps=steps, checkpoint_every=20)
        fit(color_task(noise=0.1), color_batches(20), plan, tmp_path / name, {}, "cpu")
    with_check, without = (load_weights(tmp_path / name)[0] for name in ("with", "without"))
    assert all(torch.equal(with_check[key], without[key]) for key in without)
