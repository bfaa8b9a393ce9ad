# SPDX-License-Identifier: Apache-2.0
"""Frames from anywhere, one after another: our street, pictures, a video, a camera, shards, a rosbag."""

from __future__ import annotations

import errno
import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from frankensplit.bundle import MAX_SOURCE_PIXELS
from frankensplit.data.bags import BAG_FILES, BAG_INDEX, cut_off, journals, open_reader, read_messages
from frankensplit.data.coco import Picture, find_annotations, read_annotations
from frankensplit.data.foreign import foreign
from frankensplit.data.labels import LABELS_FILE, list_names, read_labels
from frankensplit.data.limits import MAX_CAUSE, MAX_PICTURE_BYTES, read_file
from frankensplit.data.names import left_out, listed, natural, stem_before
from frankensplit.data.pictures import MASK_SUFFIX, PICTURE_SUFFIXES, decode_mask, decode_picture, turn_of
from frankensplit.data.shards import CLASS_SUFFIX, index_shard, list_splits, open_shards
from frankensplit.data.truth import Boxes, TruthKind
from frankensplit.data.turn import Turn, by_display_matrix, by_rotation
from frankensplit.edge.image import decode_compressed, message_to_rgb
from frankensplit.errors import DataError, one_line, shown
from frankensplit.places import DATA_ROOT, user_path

IMAGES, MASKS = "images", "masks"
SECOND_NS = 1_000_000_000
DEFAULT_FPS = 15.0
STREET = "street"
PICTURES_ARE = f"pictures are files that end with .{', .'.join(PICTURE_SUFFIXES)}"
MASKS_ARE = f"the mask of NAME.jpg is NAME.{MASK_SUFFIX} beside it, or {MASKS}/NAME.png"
MEMBERS_ARE = (
    f"members that are read are KEY.{', KEY.'.join((*PICTURE_SUFFIXES, MASK_SUFFIX, CLASS_SUFFIX))}, "
    "where KEY ends at its first dot that is not before a digit"
)
STREET_FRAMES = 200


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
    truth: TruthKind | None = None  # what the first frame has

    def __init__(self) -> None:
        self.skipped: list[Skipped] = []
        self.notes: list[str] = []  # what is odd about the source

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
    """Return the error of a source none of whose frames can be used."""
    if not skipped:
        return DataError("; ".join([f"{what} has no frames", *notes]))
    first = skipped[0]
    return DataError(f"none of {total} frames can be used; the first, {first.name}: {first.cause}")


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
    name, colon, split = spec.rpartition(":")
    if STREET in (spec, name):
        return _open_street(spec, split if colon else "0", fps)
    if is_camera(spec, data_root):
        return CameraSource(int(spec))
    path = user_path(spec)
    if path.exists():
        return _open_path(path, fps, topic)
    if colon:
        shards = open_shards(spec, data_root)
        return ShardSource(shards.paths, fps, shards.annotations)
    if splits := list_splits(data_root / spec):
        raise DataError(f"data set {spec!r}: give {_choices(spec, splits)}")
    if (data_root / spec).exists():
        return _open_path(data_root / spec, fps, topic)
    raise DataError(
        f"no source {spec!r}: give `street`, a camera's index, SET:SPLIT, or an existing folder of pictures, "
        "video, .tar shard, .json of COCO's annotations or rosbag"
    )


def is_camera(spec: str, data_root: Path = DATA_ROOT) -> bool:
    """Tell whether a spec is a camera's index: a number that is not the name of a file or folder."""
    return spec.isdecimal() and not any((folder / spec).exists() for folder in (Path(), data_root))


def _open_street(spec: str, split: str, fps: float) -> Source:
    if split.isdecimal():
        return StreetSource(int(split), fps)
    try:
        return StreetSplit(split, STREET_FRAMES, fps)
    except DataError as err:
        raise DataError(f"source {spec!r}: {err}; or a street's seed from 0, such as street:7") from err


def _open_path(path: Path, fps: float, topic: str | None) -> Source:
    return _open_folder(path, fps, topic) if path.is_dir() else _open_file(path, fps, topic)


def _open_folder(folder: Path, fps: float, topic: str | None) -> Source:
    if (folder / BAG_INDEX).is_file():
        return BagSource(folder, topic)
    if annotations := find_annotations(folder):
        return CocoSource(_only(annotations), fps)
    if _inner(folder, IMAGES).is_dir() or any(map(_is_picture, folder.iterdir())):
        return FolderSource(folder, fps)
    if any(any(_below(path)) for path in listed(folder)):
        return ClassFolders(folder, fps)
    if splits := list_splits(folder):
        raise DataError(f"folder {folder} holds shards: give {_choices(str(folder), splits)}")
    files = [path for path in listed(folder) if path.is_file()]
    if bags := [path.name for path in files if path.suffix.lower() in BAG_FILES]:
        raise DataError(
            f"folder {folder} holds {bags} without {BAG_INDEX}: give one of these files, or write it by "
            f"`ros2 bag reindex {folder}`"
        )
    if found := next(filter(None, map(foreign, files)), None):
        raise DataError(f"folder {folder} has no pictures, but {found}")
    raise DataError(f"folder {folder} has no pictures: {PICTURES_ARE}")


def _only(annotations: Sequence[Path]) -> Path:
    if len(annotations) > 1:
        listed = ", ".join(str(path) for path in annotations)
        raise DataError(f"there are several files of annotations, give one of them: {listed}")
    return annotations[0]


def _choices(folder: str, splits: Sequence[str]) -> str:
    return " or ".join(f"{folder}:{split}" for split in splits)


def _open_file(path: Path, fps: float, topic: str | None) -> Source:
    if found := foreign(path):
        raise DataError(found)
    if path.suffix.lower() in BAG_FILES:
        return BagSource(path, topic)
    if path.suffix.lower() == ".json":
        return CocoSource(path, fps)
    if path.suffix.lower() == ".tar":
        return ShardSource([path], fps)
    return PictureFile(path, fps) if _is_picture(path) else VideoSource(path)


def _index_ns(index: int, fps: float) -> int:
    return round(index * SECOND_NS / fps)


class StreetSource(Source):
    """The synthetic street, without end; each scene lasts ten seconds, then the next seed follows."""

    kind = "street"
    truth = "mask"
    SCENE_S = 10.0

    def __init__(self, seed: int, fps: float) -> None:
        super().__init__()
        self.seed, self.fps, self.rate_hz = seed, fps, fps

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[SourceFrame | Skipped]:
        """Yield frames, without a ``stop`` for ever."""
        from frankensplit.data.street import Street

        length, street = max(1, round(self.SCENE_S * self.fps)), None
        for index in itertools.takewhile(lambda at: stop is None or at < stop, itertools.count(start)):
            scene, at = divmod(index, length)
            if street is None or street.seed != self.seed + scene:
                street = Street(self.seed + scene, fps=self.fps)
            frame = street.frame(at)
            name = f"street_{street.seed:04d}_{at:05d}"
            yield SourceFrame(frame.rgb, frame.mask, _index_ns(index, self.fps), name)

    def count(self, stop: int | None = None) -> int:
        """Return ``stop``; without one there is no end."""
        return super().count() if stop is None else stop

    def labels(self) -> dict[str, Any]:
        """Return the street's classes."""
        from frankensplit.data.street import CLASSES, VOID

        return {"class_names": list(CLASSES), "void_index": VOID}

    def files(self) -> Sequence[Path]:
        """Return the code that draws the street."""
        return sorted(Path(__file__).with_name("street").glob("*.py"))


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


class StreetSplit(ListedSource):
    """Single pictures of the synthetic street; the splits share no seed."""

    kind = "street"
    truth = "mask"
    labels, files = StreetSource.labels, StreetSource.files

    def __init__(self, split: str, frames: int, fps: float) -> None:
        from frankensplit.data.scenes import require_split

        super().__init__([f"street_{require_split(split)}_{number:05d}" for number in range(frames)], fps)
        self.split = split

    def load(self, index: int) -> SourceFrame:
        """Draw one picture."""
        from frankensplit.data.scenes import street_scene

        scene = street_scene(self.split, index)
        return SourceFrame(scene.rgb, scene.mask, _index_ns(index, self.fps), scene.key)


class FolderSource(ListedSource):
    """Pictures of one folder, or of its ``images/``, in natural order of their names."""

    kind = "folder"

    def __init__(self, folder: Path, fps: float) -> None:
        self.folder = folder
        inner, apart = _inner(folder, IMAGES), _inner(folder, MASKS)
        inner = inner if inner.is_dir() else folder
        files = [path for path in listed(inner) if path.is_file()]
        beside = {stem: path for path in files if (stem := stem_before(path.name, f".{MASK_SUFFIX}"))}
        self.paths = [path for path in files if _is_picture(path) and path not in beside.values()]
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
            *_unused([path is not None for path in self.masks]),
            *left_out("files for masks", (path for path in of_masks if path not in self.masks), MASKS_ARE),
            *left_out("files", (path for path in files if path not in known), PICTURES_ARE),
            *left_out(
                "folders with pictures",
                (path for path in listed(inner) if path != apart and any(_below(path))),
                f"only the pictures in {inner} itself are",
            ),
            *left_out(
                "pictures",
                (path for path in listed(folder) if inner != folder and _is_picture(path)),
                f"only those in {IMAGES}/ are",
            ),
        ]

    def load(self, index: int) -> SourceFrame:
        """Read one picture, and its mask where it has one."""
        path, mask_path = self.paths[index], self.masks[index]
        data = read_file(path, MAX_PICTURE_BYTES)
        rgb = decode_picture(data, str(path))
        mask = decode_mask(read_file(mask_path, MAX_PICTURE_BYTES), str(mask_path)) if mask_path else None
        return SourceFrame(rgb, _paired(path.stem, mask, rgb, data), _index_ns(index, self.fps), path.stem)

    def labels(self) -> dict[str, Any] | None:
        """Read ``labels.json`` of the folder."""
        path = self.folder / LABELS_FILE
        return read_labels(path) if path.is_file() else None

    def files(self) -> Sequence[Path]:
        """Return pictures and masks."""
        return [*self.paths, *filter(None, self.masks)]


class PictureFile(ListedSource):
    """One picture."""

    kind = "picture"

    def __init__(self, path: Path, fps: float) -> None:
        super().__init__([path.name], fps)
        self.path = path

    def load(self, index: int) -> SourceFrame:
        """Read it."""
        rgb = decode_picture(read_file(self.path, MAX_PICTURE_BYTES), str(self.path))
        return SourceFrame(rgb, None, _index_ns(index, self.fps), self.path.stem)

    def files(self) -> Sequence[Path]:
        """Return it."""
        return [self.path]


def _inner(folder: Path, name: str) -> Path:
    """Return the folder of this name, in capital or small letters, in another; there may be none."""
    found = (path for path in listed(folder) if path.name.lower() == name and path.is_dir())
    return next(found, folder / name)


def _masks_apart(folder: Path) -> dict[str, Path]:
    """Return the masks in a folder of their own by the names of their pictures."""
    masks: dict[str, Path] = {}
    for ending in (f".{MASK_SUFFIX}", ".png"):  # the latter counts where a picture has both
        for path in listed(folder):
            if path.is_file() and (stem := stem_before(path.name, ending)):
                masks[stem] = path
    return masks


def _is_picture(path: Path) -> bool:
    return path.suffix[1:].lower() in PICTURE_SUFFIXES and path.name[0] != "." and path.is_file()


def _below(path: Path) -> Iterator[Path]:
    """Yield the pictures in a folder and those below it; a file has none."""
    return filter(_is_picture, path.rglob("*")) if path.is_dir() else iter(())


def _unused(masks: Sequence[bool]) -> list[str]:
    """Return a note where some frames have a mask, but not the first."""
    if masks[0] or not any(masks):
        return []
    return [f"{sum(masks)} of {len(masks)} frames have a mask, but the first has none: no mask is used"]


def _paired(
    name: str, mask: NDArray[np.uint8] | None, rgb: NDArray[np.uint8], data: bytes
) -> NDArray[np.uint8] | None:
    """Return a picture's mask as the picture is shown; ``data`` is the picture's file.

    A mask of the size that the picture has before it is turned is turned with it.
    """
    if mask is None or mask.shape == rgb.shape[:2]:
        return mask
    turn = turn_of(data)
    if turn.exchanged and mask.shape[::-1] == rgb.shape[:2]:
        return turn.pixels(mask)
    (height, width), (rows, columns) = rgb.shape[:2], mask.shape
    raise DataError(f"{name}: the mask is {columns}x{rows}, expected {width}x{height} as the picture")


class ClassFolders(ListedSource):
    """Pictures in one folder a class; the label is the folder's place in the order of names (as torchvision's).

    A folder without pictures is not a class.
    """

    kind = "class folders"
    truth = "label"

    def __init__(self, folder: Path, fps: float) -> None:
        self.folder = folder
        everything = listed(folder)
        folders = sorted(path for path in everything if any(_below(path)))
        self.classes = [path.name for path in folders]
        self.samples = [
            (path, label) for label, one in enumerate(folders) for path in sorted(_below(one), key=natural)
        ]
        super().__init__([str(path.relative_to(folder)) for path, _ in self.samples], fps)
        empty = [path for path in everything if path.is_dir() and path not in folders]
        inside = (path for one in folders for path in sorted(one.rglob("*"), key=natural) if path.is_file())
        loose = (path for path in everything if path.is_file())
        others = (path for path in inside if not _is_picture(path) and path.name[0] != ".")
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
        return SourceFrame(rgb, None, _index_ns(index, self.fps), name, label)

    def labels(self) -> dict[str, Any]:
        """Return the names of the folders."""
        return {"class_names": self.classes}

    def files(self) -> Sequence[Path]:
        """Return the pictures."""
        return [path for path, _ in self.samples]


def _sets_not_classes(folder: Path, classes: Sequence[Path]) -> list[str]:
    """Return a note where the classes look like sets of classes: all have folders of the same names in them."""
    below = [sorted(path.name for path in listed(one) if any(_below(path))) for one in classes]
    if len(classes) < 2 or not below[0] or any(one != below[0] for one in below):
        return []
    names = list_names([path.name for path in classes])
    return [f"the classes are {names}, not {list_names(below[0])} in each: for these give {classes[0]}"]


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
            _index_ns(index, self.fps),
            key,
            boxes=_shown(picture, self.annotations.path, str(path), rgb, data),
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
        except DataError:  # said when it is loaded
            return None
        return path if path.is_file() else None


def _shown(picture: Picture, listed: Path, name: str, rgb: NDArray[np.uint8], data: bytes) -> Boxes:
    """Return a picture's boxes as it is shown; where just its stored size is declared, they are turned with it."""
    (height, width), turn = rgb.shape[:2], turn_of(data)
    if picture.size in (None, (height, width)):
        return Boxes.of(picture.boxes.corners, picture.boxes.class_ids, (height, width))
    if turn.exchanged and picture.size == (width, height):
        return turn.boxes(picture.boxes)
    rows, columns = picture.size
    raise DataError(f"{name} is {width}x{height}, expected {columns}x{rows} as {listed.name} says")


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
            *_unused([MASK_SUFFIX in entry.places for entry in self.entries]),
            *left_out("members", others, MEMBERS_ARE),
            *(self.annotations.notes if self.annotations else []),
        ]

    def load(self, index: int) -> SourceFrame:
        """Read one sample."""
        sample = self.entries[index].read()
        rgb, time_ns = sample.image(), _index_ns(index, self.fps)
        if self.annotations is None:
            mask = _paired(sample.key, sample.mask(), rgb, sample.picture()[1])
            return SourceFrame(rgb, mask, time_ns, sample.key, sample.label())
        if sample.key not in self.listed:
            raise DataError(f"{sample.key} is not listed in {self.annotations.path.name}")
        boxes = _shown(self.listed[sample.key], self.annotations.path, sample.key, rgb, sample.picture()[1])
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


class VideoSource(Source):
    """Frames of a video file, decoded by FFmpeg."""

    kind = "video"

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._total: int | None = None
        with self._open() as container:
            rate = self._stream(container).average_rate
            self.rate_hz = float(rate) if rate else None

    def _open(self) -> Any:
        import av

        bound = {"max_pixels": str(MAX_SOURCE_PIXELS)}
        try:
            # A playlist would name other files and addresses: it may open files here at most.
            container = av.open(str(self.path), options={"protocol_whitelist": "file", **bound})
        except (av.error.FFmpegError, OSError, ValueError) as err:
            raise DataError(
                f"cannot open {shown(str(self.path))} ({self.path.stat().st_size} bytes): it is not a whole video "
                f"({one_line(str(err), MAX_CAUSE)}), nor does it end as a picture, .tar shard, .json of COCO's "
                f"annotations or rosbag ({', '.join(BAG_FILES)})"
            ) from err
        for stream in container.streams.video:
            stream.codec_context.options = bound
        return container

    def _stream(self, container: Any) -> Any:
        """Return the main stream of pictures, as FFmpeg chooses it: not a cover, and of most pixels."""
        from av.stream import Disposition

        streams = container.streams.video
        if not streams:
            raise DataError(f"{self.path} has no picture stream")
        films = [one for one in streams if not one.disposition & Disposition.attached_pic] or streams
        best = container.streams.best("video")
        return best if best in films else films[0]

    def _decoded(self) -> Iterator[Any]:
        """Yield FFmpeg's frames, and a Skipped for each packet that it cannot decode."""
        import av

        with self._open() as container:
            packets = container.demux(self._stream(container))
            for number in itertools.count():
                try:
                    packet = next(packets, None)
                    frames = packet.decode() if packet is not None else []
                except av.error.FFmpegError as err:
                    # FFmpeg does not say more than this of a frame that is too large.
                    hint = f"; frames have at most {MAX_SOURCE_PIXELS} pixels" * (err.errno == errno.EINVAL)
                    yield Skipped(f"{self.path.name} packet {number}", f"{err}{hint}")
                    continue
                if packet is None:
                    return
                yield from frames

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[SourceFrame | Skipped]:
        """Yield each frame that can be decoded; the earlier ones are decoded too, but not converted."""
        found = 0
        for position, frame in enumerate(itertools.islice(self._decoded(), stop)):
            missing = isinstance(frame, Skipped)
            if position >= start:
                yield frame if missing else self._frame(frame, found)
            found += not missing

    def _frame(self, frame: Any, found: int) -> SourceFrame:
        seconds = found / (self.rate_hz or DEFAULT_FPS) if frame.time is None else frame.time
        rgb = _turn_of_frame(frame).pixels(frame.to_ndarray(format="rgb24"))
        return SourceFrame(rgb, None, round(seconds * SECOND_NS), f"{self.path.stem}_{found:06d}")

    def count(self, stop: int | None = None) -> int:
        """Count the frames by decoding them, for a container may state another number."""
        if self._total is None:
            found = sum(1 for _ in itertools.islice(self._decoded(), stop))
            if stop is not None and found == stop:
                return found
            self._total = found
        return self._total if stop is None else min(self._total, stop)

    def files(self) -> Sequence[Path]:
        """Return the video."""
        return [self.path]


def _turn_of_frame(frame: Any) -> Turn:
    """Return how players turn a frame."""
    try:
        return by_display_matrix(frame.side_data.get("DISPLAYMATRIX"))
    except (
        ValueError
    ):  # PyAV cannot list notes that FFmpeg knows and PyAV does not, such as EXIF in a film of JPEGs
        return by_rotation(frame.rotation)


class CameraSource(Source):
    """A camera of this machine, by its index."""

    kind = "camera"

    def __init__(self, index: int) -> None:
        super().__init__()
        self.index = index
        self._capture = cv2.VideoCapture(index)
        if not self._capture.isOpened():
            raise DataError(
                f"camera {index} cannot be opened: is it there, and may this user read /dev/video{index}?"
            )

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[SourceFrame | Skipped]:
        """Yield frames until the camera gives no more."""
        return itertools.islice(self._frames(), start, stop)

    def _frames(self) -> Iterator[SourceFrame]:
        start = cv2.getTickCount()
        for number in itertools.count():
            good, bgr = self._capture.read()
            if not good:
                raise DataError(f"camera {self.index} gave no frame after {number} frames")
            stamp_ns = round((cv2.getTickCount() - start) / cv2.getTickFrequency() * SECOND_NS)
            rgb = np.ascontiguousarray(bgr[:, :, ::-1], np.uint8)
            yield SourceFrame(rgb, None, stamp_ns, f"camera{self.index}_{number:06d}")


class BagSource(Source):
    """Images of one topic of a rosbag2, sqlite3 or mcap, in the order of recording."""

    kind = "rosbag"
    TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")

    def __init__(self, path: Path, topic: str | None) -> None:
        super().__init__()
        self.path = path
        self._total: int | None = None
        with closing(open_reader(self.path)) as reader:
            images = [one for one in reader.connections if one.msgtype in self.TYPES]
            self.notes = cut_off(reader)
            self.topic = _choose_topic(path, sorted({one.topic for one in images}), topic, self.notes)
            count = sum(one.msgcount for one in images if one.topic == self.topic)
            seconds = reader.metadata.duration / SECOND_NS
            self.rate_hz = (count - 1) / seconds if count > 1 and seconds > 0 else None

    def _messages(self, reader: Any) -> Iterator[tuple[Any, int, bytes]]:
        chosen = [one for one in reader.connections if one.topic == self.topic and one.msgtype in self.TYPES]
        return read_messages(reader, self.path, chosen)

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[SourceFrame | Skipped]:
        """Yield each image that can be understood; messages before ``start`` are passed over unread.

        Messages are read by ROS's own definitions of images: those in the bag are a stranger's, and may say that two
        bytes are a billion empty structures.
        """
        from rosbags.typesys import Stores, get_typestore

        store = get_typestore(Stores.ROS2_HUMBLE)
        topic = one_line(self.topic.strip("/").replace("/", "_"))
        with closing(open_reader(self.path)) as reader:
            messages = enumerate(itertools.islice(self._messages(reader), stop))
            for number, (connection, recorded_ns, data) in itertools.islice(messages, start, None):
                name = f"{topic}_{number:06d}"
                try:
                    message = store.deserialize_cdr(data, connection.msgtype)
                    rgb = _image_to_rgb(message)
                # The bytes of a damaged message can be anything: rosbags, numpy and struct fail as they like.
                except Exception as err:
                    yield Skipped(name, str(err) or type(err).__name__)
                    continue
                image = None if hasattr(message, "format") else message
                yield SourceFrame(rgb, None, _stamp_ns(message) or recorded_ns, name, image=image)

    def count(self, stop: int | None = None) -> int:
        """Count the messages, without reading what is in them."""
        if self._total is None:
            with closing(open_reader(self.path)) as reader:
                found = sum(1 for _ in itertools.islice(self._messages(reader), stop))
            if stop is not None and found == stop:
                return found
            self._total = found
        return self._total if stop is None else min(self._total, stop)

    def files(self) -> Sequence[Path]:
        """Return the files of the bag."""
        near = self.path.iterdir() if self.path.is_dir() else [self.path, journals(self.path)[0]]
        return sorted(path for path in near if path.is_file() and not path.name.endswith("-shm"))


def _choose_topic(bag: Path, images: Sequence[str], topic: str | None, notes: Sequence[str]) -> str:
    if not images:
        raise DataError("; ".join([f"rosbag {bag} has no topic of {' or '.join(BagSource.TYPES)}", *notes]))
    if topic is None and len(images) > 1:
        raise DataError(f"rosbag {bag} has several image topics, name one: {_listed(images)}")
    chosen = topic or images[0]
    if chosen not in images:
        raise DataError(f"rosbag {bag} has no image topic {shown(chosen)}: there are {_listed(images)}")
    return chosen


def _listed(topics: Sequence[str]) -> str:
    return ", ".join(map(one_line, topics))


def _image_to_rgb(message: Any) -> NDArray[np.uint8]:
    if hasattr(message, "format"):
        return decode_compressed(message.data, message.format)
    return np.array(message_to_rgb(message))  # not a view of the bag's memory


def _stamp_ns(message: Any) -> int:
    stamp = message.header.stamp
    return int(stamp.sec) * SECOND_NS + int(stamp.nanosec)
