# SPDX-License-Identifier: Apache-2.0
"""One picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from frankensplit.data.limits import MAX_PICTURE_BYTES, read_file
from frankensplit.data.pictures import decode_picture
from frankensplit.data.sources import ListedSource, Place, Source, SourceFrame, index_ns
from frankensplit.data.sources._pictures import is_picture

ORDER = 70


class PictureFile(ListedSource):
    """One picture."""

    kind = "picture"

    def __init__(self, path: Path, fps: float) -> None:
        super().__init__([path.name], fps)
        self.path = path

    def load(self, index: int) -> SourceFrame:
        """Read it."""
        rgb = decode_picture(read_file(self.path, MAX_PICTURE_BYTES), str(self.path))
        return SourceFrame(rgb, None, index_ns(index, self.fps), self.path.stem)

    def files(self) -> Sequence[Path]:
        """Return it."""
        return [self.path]


def open_place(place: Place, fps: float, topic: str | None) -> Source | None:
    """Open a file whose name ends as those of pictures do."""
    return PictureFile(place.path, fps) if place.path and is_picture(place.path) else None
