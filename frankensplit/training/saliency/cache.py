# SPDX-License-Identifier: Apache-2.0
"""Saliency maps on disk: one file an image, in a folder a model; what is there is not computed again.

A file holds the maps of all heads, uint8, and is named after the SHA-256 of the frame's pixels; the folder is named
after the hash of all else that the maps depend on. So a run that was interrupted goes on, several may share a folder,
and maps of other weights are never taken for these.
"""

from __future__ import annotations

import hashlib
import io
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from frankensplit.errors import RuntimeUnavailable
from frankensplit.places import CACHE
from frankensplit.progress import ProgressMeter
from frankensplit.training.saliency.model import SaliencyModel
from frankensplit.training.saliency.scaling import mean_map
from frankensplit.writing import write_file

if TYPE_CHECKING:
    from frankensplit.training.saliency.cam import HeadMaps

SALIENCY = CACHE / "saliency"
LEVELS = 255

Frame = tuple[NDArray[np.uint8], int | None]  # RGB (H, W, 3), and the true class where there is one


class Filled(NamedTuple):
    """How many frames had their maps in the cache, and how many were computed."""

    found: int
    made: int


class SaliencyCache:
    """Maps of one model.

    Args:
        model: the trained backbone with its heads.
        folder: of this model's files.
    """

    def __init__(self, model: SaliencyModel, folder: Path) -> None:
        self.model, self.folder = model, folder

    @classmethod
    def open(cls, model: SaliencyModel, folder: Path = SALIENCY) -> SaliencyCache:
        """Open the cache of a model in a folder that may hold those of others."""
        return cls(model, folder / f"{model.name}-{model.key[:16]}")

    @cached_property
    def _compute(self) -> HeadMaps:
        try:  # only here: it takes a second, and maps that are there need none of it
            from frankensplit.training.saliency.cam import HeadMaps
        except ImportError as err:
            raise RuntimeUnavailable(
                f"computing saliency maps needs grad-cam ({err}): pip install grad-cam"
            ) from err
        return HeadMaps(self.model)

    def map(self, rgb: NDArray[np.uint8], label: int | None = None) -> NDArray[np.float32]:
        """Return the mean of the heads' maps of a frame, computed if the cache lacks them.

        Args:
            rgb: uint8 RGB ``(H, W, 3)``.
            label: its true class, for heads of which only one class is true; None: what they predict.

        Returns:
            float32 ``(h, w)`` in 0..1, the size of the frame's latent; ``model.map_extent`` says how much of it
            covers the frame.

        Raises:
            ImageError: the frame is not an RGB image.
            DataError: the head does not have the class.
        """
        return mean_map(self.head_maps(rgb, label))

    def head_maps(self, rgb: NDArray[np.uint8], label: int | None = None) -> NDArray[np.float32]:
        """Return the map of each head, float32 ``(heads, h, w)``, in the order of ``model.heads``."""
        maps = self._read(self._path(rgb, label), rgb)
        if maps is None:
            (maps,) = self._make([(rgb, label)])
        return np.asarray(maps / np.float32(LEVELS), np.float32)

    def fill(self, frames: Iterable[Frame], total: int, batch: int = 1) -> Filled:
        """Compute the maps that the cache lacks, with progress.

        Args:
            frames: frames with their true class or None; those of one size in a row are computed together.
            total: how many there are.
            batch: frames computed together at most.
        """
        counts = {True: 0, False: 0}
        with ProgressMeter("saliency maps", total) as meter:
            for group, there in _groups(self._looked_up(frames), batch):
                if not there:
                    self._make(group)
                counts[there] += len(group)
                meter.advance(f"{counts[True]} were there", len(group))
        return Filled(counts[True], counts[False])

    def _looked_up(self, frames: Iterable[Frame]) -> Iterator[tuple[Frame, bool]]:
        for rgb, label in frames:
            yield (rgb, label), self._read(self._path(rgb, label), rgb) is not None

    def _make(self, frames: Sequence[Frame]) -> list[NDArray[np.uint8]]:
        rgbs, labels = zip(*frames, strict=True)
        made = [np.rint(maps * LEVELS).astype(np.uint8) for maps in self._compute(rgbs, labels)]
        for (rgb, label), maps in zip(frames, made, strict=True):
            _write(self._path(rgb, label), maps)
        return made

    def _path(self, rgb: NDArray[np.uint8], label: int | None) -> Path:
        digest = hashlib.sha256(f"{rgb.dtype} {rgb.shape} {label};".encode())
        digest.update(rgb.tobytes())
        name = digest.hexdigest()
        return self.folder / name[:2] / f"{name}.npz"

    def _read(self, path: Path, rgb: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        """Return what a file holds, uint8 ``(heads, h, w)``; None where it is missing or damaged."""
        expected = (len(self.model.heads), *self.model.map_size(*rgb.shape[:2]))
        try:
            with np.load(path, allow_pickle=False) as file:
                maps = file["maps"]
            if maps.shape != expected or maps.dtype != np.uint8:
                raise ValueError(f"{maps.dtype} of shape {maps.shape}, expected uint8 {expected}")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as err:
            warnings.warn(f"{path} is damaged ({err}): it is computed again", RuntimeWarning, stacklevel=2)
            return None
        return np.asarray(maps)


def _groups(frames: Iterable[tuple[Frame, bool]], batch: int) -> Iterator[tuple[list[Frame], bool]]:
    """Group frames that follow one another and are alike in size and in whether their maps are there."""
    group: list[Frame] = []
    kind: tuple[tuple[int, ...], bool] | None = None
    for frame, there in frames:
        mine = frame[0].shape, there
        if kind is not None and (mine != kind or len(group) == batch):
            yield group, kind[1]
            group = []
        group, kind = [*group, frame], mine
    if kind is not None:
        yield group, kind[1]


def _write(path: Path, maps: NDArray[np.uint8]) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, maps=maps)
    write_file(path, buffer.getbuffer())
