# SPDX-License-Identifier: Apache-2.0
"""Frames from anywhere, one after another. One file a kind of source; a new one is a new file here.

A file gives ``open_place(place, fps, topic)``, which returns its source where a :class:`Place` is of its kind, else
None, and ``ORDER``: files of lower order are asked first.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from frankensplit.data.bags import BAG_FILES, BAG_INDEX
from frankensplit.data.foreign import foreign
from frankensplit.data.limits import MAX_CAUSE
from frankensplit.data.names import listed
from frankensplit.data.pictures import PICTURE_SUFFIXES
from frankensplit.data.truth import Boxes, TruthKind
from frankensplit.errors import DataError, one_line
from frankensplit.places import DATA_ROOT, user_path

SECOND_NS = 1_000_000_000
DEFAULT_FPS = 15.0
STREET = "street"
PICTURES_ARE = f"pictures are files that end with .{', .'.join(PICTURE_SUFFIXES)}"


@dataclass(frozen=True)
class SourceFrame:
    """One frame: uint8 RGB ``(H, W, 3)``, time, name, and the truth as its source stores it.

    The mask is uint8 ``(H, W)``, the label an index, boxes are in the picture's pixels. ``image`` is the camera's own
    ``sensor_msgs/Image`` where the source has one.
    """

    rgb: NDArray[np.uint8]
    mask: NDArray[np.uint8] | None
    stamp_ns: int
    name: str
    label: int | None = None
    boxes: Boxes | None = None
    image: Any = None


@dataclass(frozen=True)
class Skipped:
    """A frame that could not be read, and why; both may be shown as they are."""

    name: str
    cause: str

    def __post_init__(self) -> None:
        """Bound what files and libraries say."""
        object.__setattr__(self, "name", one_line(self.name, MAX_CAUSE))
        object.__setattr__(self, "cause", one_line(self.cause, MAX_CAUSE))


class Source(ABC):
    """An iterable of frames; ``skipped`` lists the frames of this pass that could not be read."""

    kind: ClassVar[str]
    rate_hz: float | None = None  # the source's own rate, where it has one
    truth: TruthKind | None = None  # the kind of truth of the first frame

    def __init__(self) -> None:
        self.skipped: list[Skipped] = []
        self.notes: list[str] = []  # remarks about oddities of the source

    @property
    def has_truth(self) -> bool:
        """Whether the frames come with masks."""
        return self.truth == "mask"

    def __iter__(self) -> Iterator[SourceFrame]:
        """Yield the frames in order; raises DataError when nothing (more) can be read at all."""
        self.skipped = []
        total = 0
        for total, item in enumerate(self.read(), 1):  # noqa: B007
            if isinstance(item, Skipped):
                self.skipped.append(item)
            else:
                yield item
        if len(self.skipped) >= total:
            raise nothing_left(f"{self.kind} {next(iter(self.files()), '')}", total, self.skipped, self.notes)

    @abstractmethod
    def read(self, start: int = 0, stop: int | None = None) -> Iterator[SourceFrame | Skipped]:
        """Yield what is at each position from ``start`` to before ``stop``; the pixels of others are not decoded."""

    def count(self, stop: int | None = None) -> int:
        """Return how many positions there are, at most ``stop``; raises DataError where there is no end."""
        raise DataError(f"a {self.kind} has no end: say how many frames, or give another source")

    def labels(self) -> dict[str, Any] | None:
        """Return the data set's labels (``class_names`` ...), or None; raises DataError where they are damaged."""
        return None

    def files(self) -> Sequence[Path]:
        """Return the files that the frames are read from."""
        return ()


def nothing_left(what: str, total: int, skipped: Sequence[Skipped], notes: Sequence[str]) -> DataError:
    """Return the error of a source that has no usable frames."""
    if not skipped:
        return DataError("; ".join([f"{what} has no frames", *notes]))
    first = skipped[0]
    return DataError(f"none of {total} frames can be used; the first, {first.name}: {first.cause}")


class ListedSource(Source):
    """Frames that are listed by name and can be read in any order."""

    def __init__(self, names: Sequence[str], fps: float) -> None:
        super().__init__()
        self.names, self.fps = names, fps

    @abstractmethod
    def load(self, index: int) -> SourceFrame:
        """Return one frame; raises DataError where it is damaged."""

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[SourceFrame | Skipped]:
        """Yield each frame that can be read."""
        yield from map(self._try, range(start, self.count(stop)))

    def _try(self, index: int) -> SourceFrame | Skipped:
        try:
            return self.load(index)
        except DataError as err:
            return Skipped(self.names[index], str(err))

    def count(self, stop: int | None = None) -> int:
        """Return the length of the list, at most ``stop``."""
        return len(self.names) if stop is None else min(len(self.names), stop)


@dataclass(frozen=True)
class Place:
    """Where frames are: what the user wrote, and the file or folder that it names, if it names one."""

    spec: str
    path: Path | None
    data_root: Path

    @property
    def folder(self) -> Path | None:
        """The folder that it is."""
        return self.path if self.path and self.path.is_dir() else None

    def file(self, *suffixes: str) -> Path | None:
        """Return the file that it is, if its name ends with one of these (``.tar``), in small or capital letters."""
        path = self.path
        return path if path and not path.is_dir() and path.suffix.lower() in suffixes else None


class SourceKind(Protocol):
    """What the file of a source gives."""

    ORDER: int

    def open_place(self, place: Place, fps: float, topic: str | None) -> Source | None:
        """Open the source if the place is of this kind; raises DataError where it is, but cannot be used."""


def open_source(
    spec: str, *, fps: float = DEFAULT_FPS, topic: str | None = None, data_root: Path = DATA_ROOT
) -> Source:
    """Open a source of frames.

    Args:
        spec: ``street`` or ``street:SEED`` (synthetic, endless, with truth); ``street:train``, ``val`` or ``demo``
            (single pictures of it); a camera's index; a folder of pictures (truth: ``NAME.mask.png`` beside a
            picture, or ``images/`` and ``masks/NAME.png``); a folder with COCO's annotations, or the ``.json``
            itself; a folder of class folders; a picture; a video; a WebDataset shard ``.tar``; ``SET:SPLIT`` or
            ``DIR:SPLIT``; a rosbag (folder, ``.db3`` or ``.mcap``).
        fps: rate of sources that have none of their own, in frames a second.
        topic: image topic of a rosbag that has several.
        data_root: where ``SET`` lies, and where a file or folder is looked for that is not here.

    Raises:
        DataError: there is no such source, or it cannot be opened.
    """
    path = next((one for one in (user_path(spec), data_root / spec) if one.exists()), None)
    place = Place(spec, path, data_root)
    if place.path and not place.folder and (found := foreign(place.path)):
        raise DataError(found)
    for kind in _kinds():
        if source := kind.open_place(place, fps, topic):
            return source
    raise _refusal(place)


def is_camera(spec: str, data_root: Path = DATA_ROOT) -> bool:
    """Tell whether a spec is a camera's index: a number that is not the name of a file or folder."""
    return spec.isdecimal() and not any((folder / spec).exists() for folder in (Path(), data_root))


def index_ns(index: int, fps: float) -> int:
    """Return the time of a frame whose source has none."""
    return round(index * SECOND_NS / fps)


def _kinds() -> list[SourceKind]:
    """Return the files of all kinds, in the order in which they are asked."""
    names = [module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")]
    kinds = [cast(SourceKind, importlib.import_module(f"{__name__}.{name}")) for name in names]
    return sorted(kinds, key=lambda kind: kind.ORDER)


def _refusal(place: Place) -> DataError:
    """Say why a place is of no kind."""
    if place.folder is None:
        return DataError(
            f"no source {place.spec!r}: give `street`, a camera's index, SET:SPLIT, or an existing folder of pictures, "
            "video, .tar shard, .json of COCO's annotations or rosbag"
        )
    files = [path for path in listed(place.folder) if path.is_file()]
    if bags := [path.name for path in files if path.suffix.lower() in BAG_FILES]:
        return DataError(
            f"folder {place.folder} holds {bags} without {BAG_INDEX}: give one of these files, or write it by "
            f"`ros2 bag reindex {place.folder}`"
        )
    if found := next(filter(None, map(foreign, files)), None):
        return DataError(f"folder {place.folder} has no pictures, but {found}")
    return DataError(f"folder {place.folder} has no pictures: {PICTURES_ARE}")
