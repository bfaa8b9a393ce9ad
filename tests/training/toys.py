# SPDX-License-Identifier: Apache-2.0
"""Tasks that train in milliseconds, and their batches."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset

from frankensplit.training.recipe import Schedule
from frankensplit.training.tasks.base import Task


class Color(Task):
    """Learn to repeat the mean colour of each frame.

    Args:
        noise: standard deviation of noise on what the network sees.
        poison: makes a loss of the n-th call into this number, by ``(n, number)``.
    """

    def __init__(self, noise=0.0, poison=(0, 0.0)):
        super().__init__()
        self.color = nn.Linear(3, 3)
        self.unused = nn.Parameter(torch.ones(2))  # has no gradient, as the quantiles of a codec
        self.noise, self.poison, self.calls = noise, poison, 0

    def loss(self, batch, progress):
        mean = batch["image"].float().mean((2, 3)) / 255
        found = self.color(mean + self.noise * torch.randn_like(mean))
        loss = ((found - mean) ** 2).mean()
        self.calls += 1
        if self.calls == self.poison[0]:
            loss = loss * self.poison[1]
        return loss, {"twice": 2 * loss.item(), "progress": progress}


def color_task(**arguments):
    torch.manual_seed(1)
    return Color(**arguments)


class ColorBatches(Dataset):
    """Made of ``(seed, step, place)``, as real batches are, without frames that have to be read."""

    def __init__(self, steps, batch, seed):
        self.steps, self.batch, self.seed = steps, batch, seed
        self.places = range(batch)

    def __len__(self):
        return self.steps

    def __getitem__(self, step):
        draws = [np.random.default_rng([self.seed, step, place]) for place in self.places]
        frames = [draw.integers(0, 256, (3, 1, 1), np.uint8).repeat(4, 1).repeat(4, 2) for draw in draws]
        return {"image": torch.from_numpy(np.stack(frames))}

    def describe(self, step):
        return f"frame-{step}a, frame-{step}b"

    def loader(self, first, rank=0, world=1):
        share = copy.copy(self)
        share.places = range(rank, self.batch, world)
        return DataLoader(Subset(share, range(first, self.steps)), batch_size=None)


def color_batches(steps=12, batch=2, seed=4):
    return ColorBatches(steps, batch, seed)


def schedule(steps=12, **values):
    return Schedule(**{"steps": steps, "lr": 0.05, "warmup": 3, "ema": 0.9, "checkpoint_every": 4, **values})
