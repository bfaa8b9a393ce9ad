# SPDX-License-Identifier: Apache-2.0
"""Training batches as a pure function of the step, so that a resumed run sees what an uninterrupted one sees."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from frankensplit.data.augment import draw_crop, random_light
from frankensplit.data.scenes import Scene, read_scenes
from frankensplit.data.shards import open_shards
from frankensplit.errors import DataError, RecipeError
from frankensplit.models.encoder import STRIDE
from frankensplit.models.heads import head_class
from frankensplit.training.recipe import Crops, Source

if TYPE_CHECKING:
    from frankensplit.training.saliency.cache import SaliencyCache


class Shot(NamedTuple):
    """One training frame: uint8 RGB ``(H, W, 3)``; its class mask uint8 ``(H, W)`` or its class; its saliency map."""

    rgb: NDArray[np.uint8]
    truth: NDArray[np.uint8] | int
    key: str = ""
    saliency: NDArray[np.float16] | None = None
    extent: tuple[float, float] | None = None  # rows and columns of the map that cover the frame


Pool = list[Shot]
UNLABELLED = 255  # where no head says which value of a mask to ignore


class Batches(Dataset[dict[str, Tensor]]):
    """Batch number ``step``: random draws from the pools, cropped, flipped, lit.

    Each sample is drawn from ``(seed, step, place in the batch)``, so a batch is the same however many processes
    share it.

    Args:
        pools: frames of each source, with their mask or class.
        shares: how often each source is drawn, relative to the others.
        crops: how frames are cropped.
        heads: the heads whose targets are made, with their labels.
        seed: of all random draws.
        batch: frames a batch.
        steps: batches in all.
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
        self._places = range(batch)  # samples of a batch that are made here
        self.void = next((labels["ignore"] for labels in heads.values() if "ignore" in labels), UNLABELLED)

    def __len__(self) -> int:
        """Return how many steps there are."""
        return self.steps

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        """Return ``image`` uint8 ``(N, 3, H, W)`` and the targets, named ``HEAD.KEY`` or ``label``."""
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
        image = random_light(crop.picture(shot.rgb), self.crops.light, rng).transpose(2, 0, 1)
        sample: dict[str, NDArray[Any]] = {"image": np.ascontiguousarray(image)}
        if shot.saliency is not None:
            sample["saliency"] = crop.map(shot.saliency.astype(np.float32), STRIDE, shot.extent)
        if isinstance(shot.truth, int):
            return sample | {"label": np.asarray(shot.truth)}
        mask = crop.mask(shot.truth, self.void)
        for head, labels in self.heads.items():
            targets = head_class(head).targets(mask, labels)
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
            Subset(share, range(first, self.steps)), batch_size=None, num_workers=1, prefetch_factor=4
        )


def load_scene_pool(source: Source, data_root: Path) -> Pool:
    """Read the frames of one source into memory.

    Raises:
        DataError: the source cannot be read or has no frames.
    """
    scenes: list[Scene] = list(
        read_scenes(
            source.data, data_root, frames=source.frames, include=source.include, exclude=source.exclude
        )
    )
    if not scenes:
        raise DataError(
            f"{source.data} has no frames that match include={source.include!r} exclude={source.exclude!r}"
        )
    return [Shot(scene.rgb, scene.mask, scene.key) for scene in scenes]


def load_class_pool(source: Source, data_root: Path) -> tuple[Pool, int]:
    """Read pictures with one class each, and return them with the number of classes.

    Raises:
        DataError: a picture has no class.
    """
    shards = open_shards(source.data, data_root)
    pool: Pool = []
    for sample in shards:
        label = sample.label()
        if label is None:
            raise DataError(f"{source.data}: sample {sample.key!r} has no KEY.cls")
        pool.append(Shot(sample.image(), label, sample.key))
    return pool, len(shards.labels["class_names"])


def with_saliency(pools: Sequence[Pool], cache: SaliencyCache) -> list[Pool]:
    """Return the pools with the map of each frame, from the cache or computed for it."""
    shots = [shot for pool in pools for shot in pool]
    cache.fill(((shot.rgb, _label(shot)) for shot in shots), len(shots))
    return [[_with_map(shot, cache) for shot in pool] for pool in pools]


def _with_map(shot: Shot, cache: SaliencyCache) -> Shot:
    values = cache.map(shot.rgb, _label(shot)).astype(np.float16)
    return shot._replace(saliency=values, extent=cache.model.map_extent(*shot.rgb.shape[:2]))


def _label(shot: Shot) -> int | None:
    return shot.truth if isinstance(shot.truth, int) else None
