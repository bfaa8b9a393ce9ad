# SPDX-License-Identifier: Apache-2.0
"""Read WebDataset tar shards: the members of one sample share the part of their name before the first dot."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from frankensplit.errors import DataError

IMAGE_SUFFIXES = ("jpg", "jpeg", "png", "webp")


@dataclass(frozen=True)
class Sample:
    """One sample as stored: its key, and each member's bytes by suffix (``jpg``, ``mask.png``, ``cls`` ...)."""

    key: str
    members: dict[str, bytes]

    def image(self) -> NDArray[np.uint8]:
        """Return the picture, uint8 RGB ``(H, W, 3)``.

        Raises:
            DataError: there is none, or it is damaged.
        """
        for suffix in IMAGE_SUFFIXES:
            if suffix in self.members:
                return np.ascontiguousarray(self._decode(suffix, cv2.IMREAD_COLOR)[:, :, ::-1])
        raise DataError(f"sample {self.key!r} has no image: members are {sorted(self.members)}")

    def mask(self) -> NDArray[np.uint8] | None:
        """Return the class mask, uint8 ``(H, W)``, or None where there is none."""
        return self._decode("mask.png", cv2.IMREAD_GRAYSCALE) if "mask.png" in self.members else None

    def label(self) -> int | None:
        """Return the class index of a classification sample, or None."""
        return int(self.members["cls"]) if "cls" in self.members else None

    def _decode(self, suffix: str, flags: int) -> NDArray[np.uint8]:
        pixels = cv2.imdecode(np.frombuffer(self.members[suffix], np.uint8), flags)
        if pixels is None:
            raise DataError(f"sample {self.key!r}: {suffix} is damaged ({len(self.members[suffix])} bytes)")
        return np.asarray(pixels, np.uint8)


@dataclass(frozen=True)
class ShardSet:
    """One split of a data set: its samples in order and the data set's ``labels.json``."""

    name: str
    paths: list[Path]
    labels: dict[str, Any]

    def __iter__(self) -> Iterator[Sample]:
        """Yield the samples of all shards in order."""
        for path in self.paths:
            yield from read_shard(path)


def open_shards(spec: str, data_root: Path) -> ShardSet:
    """Open ``SET:SPLIT`` below the data root, or ``DIR:SPLIT`` anywhere.

    Raises:
        DataError: the spec is malformed, or the folder has no such shards or no ``labels.json``.
    """
    folder_name, colon, split = spec.rpartition(":")
    if not colon or not folder_name or not split:
        raise DataError(f"data set {spec!r}: expected SET:SPLIT or DIR:SPLIT, such as camvid:val")
    candidates = [Path(folder_name).expanduser(), data_root / folder_name]
    folder = next((path for path in candidates if path.is_dir()), None)
    if folder is None:
        looked = " and ".join(str(path) for path in candidates)
        raise DataError(f"data set {spec!r}: no folder at {looked}; give --data-root or DIR:SPLIT")
    paths = sorted(folder.glob(f"{split}-*.tar"))
    if not paths:
        splits = sorted({path.name.rpartition("-")[0] for path in folder.glob("*-*.tar")})
        raise DataError(f"data set {spec!r}: {folder} has no {split}-*.tar; splits there: {splits}")
    try:
        labels = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        raise DataError(f"data set {spec!r}: cannot read {folder / 'labels.json'}: {err}") from err
    return ShardSet(spec, paths, labels)


def read_shard(path: Path) -> Iterator[Sample]:
    """Yield the samples of one tar file.

    Raises:
        DataError: the file is no tar, or ends early.
    """
    key, members = None, {}
    try:
        with tarfile.open(path) as tar:
            for entry in tar:
                file = tar.extractfile(entry)
                if file is None:
                    continue
                name, _, suffix = entry.name.rpartition("/")[2].partition(".")
                if key is not None and name != key:
                    yield Sample(key, members)
                    members = {}
                key = name
                members[suffix] = file.read()
    except (OSError, tarfile.TarError) as err:
        raise DataError(f"cannot read shard {path}: {err}; copy it again") from err
    if key is not None:
        yield Sample(key, members)
