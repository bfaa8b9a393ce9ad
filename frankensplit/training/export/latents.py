# SPDX-License-Identifier: Apache-2.0
"""The latents of frames, which tables are fitted to and channels are judged by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from frankensplit.codec.tables import Ints
from frankensplit.edge.runtimes import RuntimeOptions, open_runtime
from frankensplit.progress import track
from frankensplit.training.data.sample import Frames

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


def read_latents(encoder: Path, training: Frames, held_out: Frames) -> Latents:
    """Run an encoder over prepared frames.

    Args:
        encoder: ``encoder.onnx``.
        training: uint8 ``(H, W, 3)``, as ``sample`` gives them.
        held_out: likewise, of frames that the recipe leaves out; none: ``training`` stands for them.
    """
    seen = read_symbols(encoder, training, "symbols of training frames", FINE)
    return Latents(
        seen, read_symbols(encoder, held_out, "symbols of held-out frames", FINE) if held_out else seen
    )


def read_symbols(encoder: Path, frames: Frames, what: str, scale: float = 1.0) -> list[Ints]:
    """Return an encoder's integers of prepared frames, int32 ``(C, h, w)``; ``scale`` is 1 over the step."""
    runtime = open_runtime("onnxruntime", encoder, RuntimeOptions(threads=2))
    return [runtime(frame[None], scale)[0].copy() for frame in track(frames, what, len(frames))]
