# SPDX-License-Identifier: Apache-2.0
"""Pictures with boxes, listed by a file of COCO's detection format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from frankensplit.data.coco import find_annotations, read_annotations
from frankensplit.data.limits import MAX_PICTURE_BYTES, read_file
from frankensplit.data.pictures import decode_picture
from frankensplit.data.shards import list_splits
from frankensplit.data.sources import ListedSource, Place, Source, SourceFrame, index_ns
from frankensplit.data.sources._pictures import shown_boxes
from frankensplit.errors import DataError

ORDER = 30


class CocoSource(ListedSource):
    """Pictures with boxes, listed by a file of COCO's detection format."""

    kind = "COCO set"
    truth = "boxes"

    def __init__(self, path: Path, fps: float) -> None:
        self.annotations = read_annotations(path)
        if not self.annotations.pictures:
            raise DataError(f"{path} lists no pictures")
        super().__init__([picture.file_name for picture in self.annotations.pictures], fps)
        self.notes = self.annotations.notes

    def load(self, index: int) -> SourceFrame:
        """Read one picture."""
        picture = self.annotations.pictures[index]
        path = self.annotations.picture_path(picture.file_name)
        data = read_file(path, MAX_PICTURE_BYTES)
        rgb = decode_picture(data, str(path))
        key = str(Path(picture.file_name).with_suffix(""))
        return SourceFrame(
            rgb,
            None,
            index_ns(index, self.fps),
            key,
            boxes=shown_boxes(picture, self.annotations.path, str(path), rgb, data),
        )

    def labels(self) -> dict[str, Any]:
        """Return the names of the categories."""
        return {"class_names": self.annotations.classes}

    def files(self) -> Sequence[Path]:
        """Return the annotations and the pictures that are there."""
        return [self.annotations.path, *filter(None, map(self._existing, self.names))]

    def _existing(self, name: str) -> Path | None:
        try:
            path = self.annotations.picture_path(name)
        except DataError:  # loading it reports the error
            return None
        return path if path.is_file() else None


def open_place(place: Place, fps: float, topic: str | None) -> Source | None:
    """Open the file of annotations, or a folder that has one."""
    if path := place.file(".json"):
        return CocoSource(path, fps)
    if place.folder is None:
        return None
    found = find_annotations(place.folder)
    if len(found) > 1:
        if list_splits(place.folder):  # each file belongs to one of the splits
            return None
        listed = ", ".join(str(path) for path in found)
        raise DataError(f"there are several files of annotations, give one of them: {listed}")
    return CocoSource(found[0], fps) if found else None
