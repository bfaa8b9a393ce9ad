# SPDX-License-Identifier: Apache-2.0
"""Unlabelled frames of a site: the last fifth, in time, is held out, the rest is for training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from frankensplit.bundle import Codec
from frankensplit.data.frames import Frames, LabelledFrame, open_frames
from frankensplit.errors import DataError
from frankensplit.models.backbone import Backbone
from frankensplit.training.data.batches import Batches
from frankensplit.training.data.pools import Pool, Shot
from frankensplit.training.recipe import Crops
from frankensplit.training.tasks.backbone import channel_variance
from frankensplit.training.tasks.codec_run import STATISTICS_BATCHES

HELD_OUT = 5  # one part in five is held out: the last frames, because neighbours in time are alike
LARGEST_CROP = (256, 320)  # height, width
OWN_SCALE = (1.0, 1.0)  # frames are scaled once, as on the robot


class SiteSpec(NamedTuple):
    """The choice of frames: data for ``open_frames``, a bag's topic, each N-th frame, the most frames of these."""

    data: str
    topic: str | None = None
    every: int = 1
    frames: int | None = None


class Site:
    """The frames of a site, split by time.

    Args:
        spec: which frames.
        data_root: folder of the data sets.

    Raises:
        DataError: there are no such data, or too few frames.
    """

    def __init__(self, spec: SiteSpec, data_root: Path) -> None:
        self.spec = spec
        limit = spec.frames * spec.every if spec.frames else None
        frames = open_frames(spec.data, data_root, topic=spec.topic, limit=limit)
        self.digest = hashlib.sha256(json.dumps([frames.digest, *spec]).encode()).hexdigest()
        count = -(-len(frames) // spec.every)
        self._refuse_too_few(count)
        cut = (count - count // HELD_OUT) * spec.every
        self._training, self._held_out = frames.select(0, cut), frames.select(cut)

    @property
    def skipped(self) -> dict[str, str]:
        """Frames that could not be read when they were last gone through, and why."""
        return self._training.skipped | self._held_out.skipped

    def held_out(self) -> Iterator[LabelledFrame]:
        """Yield the frames that are kept apart."""
        return self._spaced(self._held_out)

    def pool(self, codec: Codec) -> Pool:
        """Return the frames to train on, scaled and padded as the codec sees them.

        Raises:
            DataError: none can be read.
        """
        pool = [
            Shot(codec.geometry(*frame.rgb.shape[:2]).prepare(frame.rgb), key=f"{self.spec.data}/{frame.key}")
            for frame in self._spaced(self._training)
        ]
        if not pool:
            self._refuse_too_few(0)
        return pool

    def _spaced(self, frames: Frames) -> Iterator[LabelledFrame]:
        return islice(frames, 0, None, self.spec.every)

    def _refuse_too_few(self, count: int) -> None:
        if count < HELD_OUT:
            raise DataError(
                f"{self.spec.data} has {count} frames that are taken and can be read, expected at least {HELD_OUT}, "
                f"of which one is kept apart: record more, or lower --every ({self.spec.every}) or raise --frames"
            )


@torch.no_grad()
def channel_weights(backbone: Backbone, batches: Batches) -> Tensor:
    """Return what a squared error in each shallow channel counts, 1 over its variance at the site: float32 ``(C,)``."""
    some = [batches[step] for step in range(min(STATISTICS_BATCHES, len(batches)))]
    return 1 / channel_variance(backbone, some)


def site_batches(
    pool: Pool, seed: int, batch: int, steps: int, largest: tuple[int, int] = LARGEST_CROP
) -> Batches:
    """Return training batches without targets: crops at the scale of the codec, flipped, under varied light.

    Crops have the height and width ``largest``, or those of the smallest frame.
    """
    height, width = (min(*(shot.rgb.shape[axis] for shot in pool), largest[axis]) for axis in (0, 1))
    size = height, width
    return Batches([pool], [1.0], Crops(size=size, scale=OWN_SCALE), {}, seed, batch, steps)
