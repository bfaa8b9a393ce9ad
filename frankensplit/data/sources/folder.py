# SPDX-License-Identifier: Apache-2.0
"""Pictures of one folder, perhaps with masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from frankensplit.data.labels import LABELS_FILE, read_labels
from frankensplit.data.limits import MAX_PICTURE_BYTES, read_file
from frankensplit.data.names import left_out, listed, stem_before
from frankensplit.data.pictures import MASK_SUFFIX, decode_mask, decode_picture
from frankensplit.data.sources import PICTURES_ARE, ListedSource, Place, Source, SourceFrame, index_ns
from frankensplit.data.sources._pictures import is_picture, paired, pictures_below, unused
from frankensplit.errors import DataError

ORDER = 40
IMAGES, MASKS = "images", "masks"
MASKS_ARE = f"the mask of NAME.jpg is NAME.{MASK_SUFFIX} beside it, or {MASKS}/NAME.png"


class FolderSource(ListedSource):
    """Pictures of one folder, or of its ``images/``, in natural order of their names."""

    kind = "folder"

    def __init__(self, folder: Path, fps: float) -> None:
        self.folder = folder
        inner, apart = _inner(folder, IMAGES), _inner(folder, MASKS)
        inner = inner if inner.is_dir() else folder
        files = [path for path in listed(inner) if path.is_file()]
        beside = {stem: path for path in files if (stem := stem_before(path.name, f".{MASK_SUFFIX}"))}
        self.paths = [path for path in files if is_picture(path) and path not in beside.values()]
        if not self.paths:
            raise DataError(f"folder {inner} has no pictures: {PICTURES_ARE}")
        super().__init__([path.name for path in self.paths], fps)
        self.rate_hz = fps
        masks = _masks_apart(apart) | beside
        self.masks = [masks.get(path.stem) for path in self.paths]
        self.truth = "mask" if self.masks[0] else None
        of_masks = [*beside.values(), *listed(apart)]
        known = {*self.paths, *of_masks, folder / LABELS_FILE}
        self.notes = [
            *unused([path is not None for path in self.masks]),
            *left_out("files for masks", (path for path in of_masks if path not in self.masks), MASKS_ARE),
            *left_out("files", (path for path in files if path not in known), PICTURES_ARE),
            *left_out(
                "folders with pictures",
                (path for path in listed(inner) if path != apart and any(pictures_below(path))),
                f"only the pictures in {inner} itself are",
            ),
            *left_out(
                "pictures",
                (path for path in listed(folder) if inner != folder and is_picture(path)),
                f"only those in {IMAGES}/ are",
            ),
        ]

    def load(self, index: int) -> SourceFrame:
        """Read one picture, and its mask where it has one."""
        path, mask_path = self.paths[index], self.masks[index]
        data = read_file(path, MAX_PICTURE_BYTES)
        rgb = decode_picture(data, str(path))
        mask = decode_mask(read_file(mask_path, MAX_PICTURE_BYTES), str(mask_path)) if mask_path else None
        return SourceFrame(rgb, paired(path.stem, mask, rgb, data), index_ns(index, self.fps), path.stem)

    def labels(self) -> dict[str, Any] | None:
        """Read ``labels.json`` of the folder."""
        path = self.folder / LABELS_FILE
        return read_labels(path) if path.is_file() else None

    def files(self) -> Sequence[Path]:
        """Return pictures and masks."""
        return [*self.paths, *filter(None, self.masks)]


def _inner(folder: Path, name: str) -> Path:
    """Return the folder of this name, in capital or small letters, in another; there may be none."""
    found = (path for path in listed(folder) if path.name.lower() == name and path.is_dir())
    return next(found, folder / name)


def _masks_apart(folder: Path) -> dict[str, Path]:
    """Return the masks in a folder of their own by the names of their pictures."""
    masks: dict[str, Path] = {}
    for ending in (f".{MASK_SUFFIX}", ".png"):  # the later one wins if a picture has both
        for path in listed(folder):
            if path.is_file() and (stem := stem_before(path.name, ending)):
                masks[stem] = path
    return masks


def open_place(place: Place, fps: float, topic: str | None) -> Source | None:
    """Open a folder that has pictures, or ``images/``."""
    folder = place.folder
    if folder and (_inner(folder, IMAGES).is_dir() or any(map(is_picture, folder.iterdir()))):
        return FolderSource(folder, fps)
    return None
