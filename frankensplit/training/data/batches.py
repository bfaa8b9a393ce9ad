# SPDX-License-Identifier: Apache-2.0
"""Training batches as a pure function of the step, so that a resumed run sees what an uninterrupted one sees."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from frankensplit.data.augment import draw_crop
from frankensplit.data.labels import UNLABELLED
from frankensplit.data.look import Look, random_look
from frankensplit.data.truth import Truth
from frankensplit.errors import DataError, RecipeError
from frankensplit.models.encoder import STRIDE
from frankensplit.models.heads import head_class, heads_with_truth
from frankensplit.training.data.pools import Pool, Shot
from frankensplit.training.recipe import Common, Crops
from frankensplit.training.tasks.base import Task

HELD_OUT_BATCHES = 8


class Batches(Dataset[dict[str, Tensor]]):
    """Batch number ``step``: random draws from the pools, cropped, flipped, lit.

    Each sample is drawn from ``(seed, step, place in the batch)``, so a batch is the same however many processes
    share it.

    Args:
        pools: frames of each source.
        shares: how often each source is drawn, relative to the others.
        crops: how frames are cropped.
        heads: the heads whose targets are made, with their labels.
        seed: of all random draws.
        batch: frames a batch.
        steps: batches in all.

    Raises:
        DataError: a source lacks the truth that a head learns from.
    """

    def __init__(
        self,
        pools: Sequence[Pool],
        shares: Sequence[float],
        crops: Crops,
        heads: dict[str, dict[str, Any]],
        seed: int,
        batch: int,
        steps: int,
    ) -> None:
        self.pools, self.crops, self.heads = pools, crops, heads
        self.shares = np.asarray(shares) / np.sum(shares)
        self.seed, self.batch, self.steps = seed, batch, steps
        self._look = Look(**crops.model_dump(exclude={"size", "scale"}))
        self._places = range(batch)  # samples of a batch that are made here
        self._labelled = all(pool[0].truth.label is not None for pool in pools)
        for pool in pools:
            _require_truth(pool[0], heads)
        self.void = next((labels["ignore"] for labels in heads.values() if "ignore" in labels), UNLABELLED)

    def __len__(self) -> int:
        """Return how many steps there are."""
        return self.steps

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        """Return ``image`` uint8 ``(N, 3, H, W)`` and the targets, named ``HEAD.KEY``.

        ``label`` ``(N,)`` is there where every source has classes, ``saliency`` where frames have maps.
        """
        samples = [self._sample(step, place) for place in self._places]
        return {key: torch.from_numpy(np.stack([sample[key] for sample in samples])) for key in samples[0]}

    def describe(self, step: int, rank: int = 0, world: int = 1) -> str:
        """Return the keys of the frames in a batch, or in one process's share of it."""
        return ", ".join(self._draw(step, place)[0].key for place in range(rank, self.batch, world))

    def _draw(self, step: int, place: int) -> tuple[Shot, np.random.Generator]:
        """Return the frame of a sample, and where its other random numbers come from."""
        rng = np.random.default_rng([self.seed, step, place])
        pool = self.pools[rng.choice(len(self.pools), p=self.shares)]
        return pool[rng.integers(len(pool))], rng

    def _sample(self, step: int, place: int) -> dict[str, NDArray[Any]]:
        shot, rng = self._draw(step, place)
        frame = shot.rgb.shape[0], shot.rgb.shape[1]
        crop = draw_crop(frame, self.crops.size, self.crops.scale, rng)
        image = random_look(crop.picture(shot.rgb), self._look, rng).transpose(2, 0, 1)
        sample: dict[str, NDArray[Any]] = {"image": np.ascontiguousarray(image)}
        if shot.saliency is not None:
            sample["saliency"] = crop.map(shot.saliency.astype(np.float32), STRIDE, shot.extent)
        if self._labelled:
            sample["label"] = np.asarray(shot.truth.label)
        truth = crop.truth(shot.truth, self.void) if self.heads else Truth()
        for head, labels in self.heads.items():
            targets = head_class(head, labels).targets(truth, labels)
            sample |= {f"{head}.{key}": value for key, value in targets.items()}
        return sample

    def loader(self, first: int, rank: int = 0, world: int = 1) -> DataLoader[dict[str, Tensor]]:
        """Return the batches from step ``first`` on, made ahead by another process.

        Args:
            first: the first step.
            rank: which of the processes that train together asks; gets samples ``rank``, ``rank + world`` ...
            world: how many processes train together.

        Raises:
            RecipeError: the batch cannot be shared evenly.
        """
        if self.batch % world:
            raise RecipeError(
                f"schedule.batch is {self.batch}, expected a multiple of the {world} processes that train together"
            )
        share = copy.copy(self)
        share._places = range(rank, self.batch, world)
        return DataLoader(
            Subset(share, range(first, self.steps)),
            batch_size=None,
            num_workers=1,
            prefetch_factor=4,
            multiprocessing_context="fork",  # shares the pictures; what Python 3.14 takes by itself copies them
        )


class Prepared(NamedTuple):
    """A training that may begin: the task, its batches, and batches of held-out frames where sources leave some out."""

    task: Task
    batches: Batches
    held_out: Batches | None


def prepared(
    task: Task,
    recipe: Common,
    pools: Sequence[Pool],
    held_out: Sequence[Pool],
    heads: dict[str, dict[str, Any]],
) -> Prepared:
    """Return a training from its task, the pools of its sources, those of held-out frames, and its heads' labels."""
    own = batches_of(recipe, pools, heads)
    if not held_out:
        return Prepared(task, own, None)
    shares = [float(len(pool)) for pool in held_out]
    batch = recipe.schedule.batch
    apart = Batches(held_out, shares, recipe.crops, heads, recipe.seed, batch, HELD_OUT_BATCHES)
    return Prepared(task, own, apart)


def batches_of(recipe: Common, pools: Sequence[Pool], heads: dict[str, dict[str, Any]]) -> Batches:
    """Return a recipe's batches from the pools of its sources, with the targets of these heads."""
    shares, schedule = [source.share for source in recipe.data], recipe.schedule
    return Batches(pools, shares, recipe.crops, heads, recipe.seed, schedule.batch, schedule.steps)


def _require_truth(shot: Shot, heads: dict[str, dict[str, Any]]) -> None:
    """Raise DataError where a head cannot learn from the truth of a frame, and so from that of its source."""
    for name in heads.keys() - heads_with_truth(heads, shot.truth.kind):
        kinds = " or ".join(head_class(name, heads[name]).learns_from(heads[name]))
        raise DataError(
            f"the truth of {shot.key} and its source is {shot.truth.kind or 'unknown'}, but head {name!r} learns "
            f"from {kinds}, in its classes: take the source out, or the head"
        )
