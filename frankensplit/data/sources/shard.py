# SPDX-License-Identifier: Apache-2.0
"""Samples of WebDataset shards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from frankensplit.data.coco import read_annotations
from frankensplit.data.labels import LABELS_FILE, read_labels
from frankensplit.data.names import left_out
from frankensplit.data.pictures import MASK_SUFFIX, PICTURE_SUFFIXES
from frankensplit.data.shards import CLASS_SUFFIX, index_shard, list_splits, open_shards
from frankensplit.data.sources import ListedSource, Place, Source, SourceFrame, index_ns
from frankensplit.data.sources._pictures import paired, shown_boxes, unused
from frankensplit.errors import DataError

ORDER = 60
MEMBERS_ARE = (
    f"members that are read are KEY.{', KEY.'.join((*PICTURE_SUFFIXES, MASK_SUFFIX, CLASS_SUFFIX))}, "
    "where KEY ends at its first dot that is not before a digit"
)


class ShardSource(ListedSource):
    """Samples of WebDataset shards: ``KEY.jpg`` (or webp, png ...) and perhaps ``KEY.mask.png`` or ``KEY.cls``.

    ``annotations``: a file of COCO's detection format with the boxes of the pictures, whose ``file_name`` is
    ``KEY.jpg``.
    """

    kind = "shard"

    def __init__(self, paths: Sequence[Path], fps: float, annotations: Path | None = None) -> None:
        self.paths = paths
        self.annotations = read_annotations(annotations) if annotations else None
        pictures = self.annotations.pictures if self.annotations else []
        self.listed = {Path(picture.file_name).stem: picture for picture in pictures}
        indices = [index_shard(path) for path in paths]
        self.entries = [entry for one in indices for entry in one.entries]
        others = [member for one in indices for member in one.others]
        if not self.entries:
            said = "; ".join(left_out("members", others, MEMBERS_ARE))
            raise DataError(f"shard {paths[0]} is empty: it holds no picture{said and f'; {said}'}")
        super().__init__([entry.key for entry in self.entries], fps)
        first = self.entries[0].places
        if self.annotations:
            self.truth = "boxes"
        else:
            self.truth = "mask" if MASK_SUFFIX in first else "label" if CLASS_SUFFIX in first else None
        self.rate_hz = None if self.truth in ("label", "boxes") else fps
        self.notes = [
            *unused([MASK_SUFFIX in entry.places for entry in self.entries]),
            *left_out("members", others, MEMBERS_ARE),
            *(self.annotations.notes if self.annotations else []),
        ]

    def load(self, index: int) -> SourceFrame:
        """Read one sample."""
        sample = self.entries[index].read()
        rgb, time_ns = sample.image(), index_ns(index, self.fps)
        if self.annotations is None:
            mask = paired(sample.key, sample.mask(), rgb, sample.picture()[1])
            return SourceFrame(rgb, mask, time_ns, sample.key, sample.label())
        if sample.key not in self.listed:
            raise DataError(f"{sample.key} is not listed in {self.annotations.path.name}")
        boxes = shown_boxes(
            self.listed[sample.key], self.annotations.path, sample.key, rgb, sample.picture()[1]
        )
        return SourceFrame(rgb, None, time_ns, sample.key, boxes=boxes)

    def labels(self) -> dict[str, Any] | None:
        """Return the categories of the annotations, or read ``labels.json`` beside the shards."""
        if self.annotations:
            return {"class_names": self.annotations.classes}
        path = self.paths[0].with_name(LABELS_FILE)
        return read_labels(path) if path.is_file() else None

    def files(self) -> Sequence[Path]:
        """Return the shards, and the annotations if there are any."""
        return [*self.paths, *([self.annotations.path] if self.annotations else [])]


def open_place(place: Place, fps: float, topic: str | None) -> Source | None:
    """Open ``SET:SPLIT``, ``DIR:SPLIT`` or one shard; raises DataError for a folder of shards without a split."""
    if path := place.file(".tar"):
        return ShardSource([path], fps)
    if place.path is None and ":" in place.spec:
        shards = open_shards(place.spec, place.data_root)
        return ShardSource(shards.paths, fps, shards.annotations)
    if splits := list_splits(place.folder) if place.folder else []:
        choices = " or ".join(f"{place.spec}:{split}" for split in splits)
        raise DataError(f"{place.spec!r} holds shards: give {choices}")
    return None
