# SPDX-License-Identifier: Apache-2.0
"""Pictures in one folder a class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from frankensplit.data.labels import list_names
from frankensplit.data.limits import MAX_PICTURE_BYTES, read_file
from frankensplit.data.names import left_out, listed, natural
from frankensplit.data.pictures import decode_picture
from frankensplit.data.sources import PICTURES_ARE, ListedSource, Place, Source, SourceFrame, index_ns
from frankensplit.data.sources._pictures import is_picture, pictures_below

ORDER = 50


class ClassFolders(ListedSource):
    """Pictures in one folder a class; the label is the folder's place in the order of names (as torchvision's).

    A folder without pictures is not a class.
    """

    kind = "class folders"
    truth = "label"

    def __init__(self, folder: Path, fps: float) -> None:
        self.folder = folder
        everything = listed(folder)
        folders = sorted(path for path in everything if any(pictures_below(path)))
        self.classes = [path.name for path in folders]
        self.samples = [
            (path, label)
            for label, one in enumerate(folders)
            for path in sorted(pictures_below(one), key=natural)
        ]
        super().__init__([str(path.relative_to(folder)) for path, _ in self.samples], fps)
        empty = [path for path in everything if path.is_dir() and path not in folders]
        inside = (path for one in folders for path in sorted(one.rglob("*"), key=natural) if path.is_file())
        loose = (path for path in everything if path.is_file())
        others = (path for path in inside if not is_picture(path) and path.name[0] != ".")
        self.notes = [
            *_sets_not_classes(folder, folders),
            *left_out("folders", empty, "a folder without pictures is not a class"),
            *left_out(
                "files beside the folders of classes", loose, "a picture is in the folder of its class"
            ),
            *left_out("files", others, PICTURES_ARE),
        ]

    def load(self, index: int) -> SourceFrame:
        """Read one picture."""
        path, label = self.samples[index]
        rgb, name = (
            decode_picture(read_file(path, MAX_PICTURE_BYTES), str(path)),
            str(Path(self.names[index]).with_suffix("")),
        )
        return SourceFrame(rgb, None, index_ns(index, self.fps), name, label)

    def labels(self) -> dict[str, Any]:
        """Return the names of the folders."""
        return {"class_names": self.classes}

    def files(self) -> Sequence[Path]:
        """Return the pictures."""
        return [path for path, _ in self.samples]


def _sets_not_classes(folder: Path, classes: Sequence[Path]) -> list[str]:
    """Return a note where the classes look like sets of classes: all have folders of the same names in them."""
    below = [sorted(path.name for path in listed(one) if any(pictures_below(path))) for one in classes]
    if len(classes) < 2 or not below[0] or any(one != below[0] for one in below):
        return []
    names = list_names([path.name for path in classes])
    return [f"the classes are {names}, not {list_names(below[0])} in each: for these give {classes[0]}"]


def open_place(place: Place, fps: float, topic: str | None) -> Source | None:
    """Open a folder whose folders have pictures."""
    folder = place.folder
    return (
        ClassFolders(folder, fps)
        if folder and any(any(pictures_below(path)) for path in listed(folder))
        else None
    )
