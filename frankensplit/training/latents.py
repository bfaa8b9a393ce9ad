# SPDX-License-Identifier: Apache-2.0
"""The latents of a recipe's frames, which tables are fitted to and channels are judged by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from frankensplit.codec.tables import Ints
from frankensplit.data.sources import STREET
from frankensplit.edge.runtimes import RuntimeOptions, open_runtime
from frankensplit.geometry import MULTIPLE, Geometry
from frankensplit.progress import track
from frankensplit.training.pools import held_out_sources, read_pictures
from frankensplit.training.recipe import CodecRecipe

STREET_FRAMES = 60  # of the synthetic street, whose symbols are counted
FINE = 256  # parts of a symbol, in which latents are kept while tables are fitted


@dataclass(frozen=True)
class Latents:
    """Latents less their medians, int32 ``(C, h, w)`` in parts of 1 / ``FINE``, so that one pass serves all levels.

    ``held_out`` are those of the frames that the recipe holds out, or of all training frames where it holds out none.
    """

    training: list[Ints]
    held_out: list[Ints]

    def live(self) -> list[int]:
        """Return the channels that are not 0 in every frame at step 1; the first, if all are."""
        every = self.rounded(1.0)
        alive = np.any([symbols.any(axis=(1, 2)) for frames in every for symbols in frames], axis=0)
        return [int(channel) for channel in np.flatnonzero(alive)] or [0]

    def of(self, channels: list[int]) -> Latents:
        """Return the latents of some channels."""
        training, held_out = ([one[channels] for one in frames] for frames in (self.training, self.held_out))
        return Latents(training, held_out)

    def rounded(self, step: float) -> tuple[list[Ints], list[Ints]]:
        """Return the symbols of a level, of the training frames and of the held-out ones."""

        def symbols(latents: list[Ints]) -> list[Ints]:
            return [np.rint(latent / (FINE * step)).astype(np.int32) for latent in latents]

        return symbols(self.training), symbols(self.held_out)


def read_latents(encoder: Path, recipe: CodecRecipe, nominal: tuple[int, int], data_root: Path) -> Latents:
    """Run an encoder over the frames that a recipe trains on and over those that it holds out.

    Args:
        encoder: ``encoder.onnx``.
        recipe: names the frames; of the synthetic street at most ``STREET_FRAMES`` are taken.
        nominal: height and width of the box that frames are scaled to fit.
        data_root: folder of the data sets.
    """
    runtime = open_runtime("onnxruntime", encoder, RuntimeOptions(threads=2))

    def latents(pictures: Iterable[NDArray[np.uint8]], what: str) -> list[Ints]:
        found, every = [], list(pictures)
        for rgb in track(every, what, len(every)):
            geometry = Geometry(rgb.shape[0], rgb.shape[1], nominal[0], nominal[1], MULTIPLE)
            found.append(runtime(geometry.prepare(rgb)[None], FINE)[0].copy())
        return found

    training = latents(training_frames(recipe, data_root), "symbols of training frames")
    sources = held_out_sources(recipe.data)
    pictures = (rgb for source in sources for rgb in read_pictures(source, data_root))
    return Latents(training, latents(pictures, "symbols of held-out frames") if sources else training)


def training_frames(recipe: CodecRecipe, data_root: Path) -> Iterable[NDArray[np.uint8]]:
    """Yield the frames that a recipe trains on, uint8 RGB ``(H, W, 3)``."""
    for source in recipe.data:
        some = min(source.frames or STREET_FRAMES, STREET_FRAMES)
        street = source.data.startswith(f"{STREET}:")
        yield from read_pictures(source.model_copy(update={"frames": some}) if street else source, data_root)
