# SPDX-License-Identifier: Apache-2.0
"""Frames from anywhere, one after another: our street, pictures, a video, a camera, a shard, a rosbag."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from frankensplit.data.shards import read_shard
from frankensplit.edge.image import decode_compressed, message_to_rgb
from frankensplit.errors import DataError, FrankensplitError

PICTURES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
BAG_FILES = (".db3", ".mcap")
MASK_SUFFIX = ".mask.png"
SECOND_NS = 1_000_000_000


@dataclass(frozen=True)
class SourceFrame:
    """One frame: uint8 RGB ``(H, W, 3)``, class mask uint8 ``(H, W)`` where the truth is known, time, name."""

    rgb: NDArray[np.uint8]
    mask: NDArray[np.uint8] | None
    stamp_ns: int
    name: str


@dataclass(frozen=True)
class Skipped:
    """A frame that could not be read, and why."""

    name: str
    cause: str


class Source(ABC):
    """An iterable of frames; ``skipped`` lists the frames of this pass that could not be read."""

    kind: ClassVar[str]
    rate_hz: float | None = None  # the source's own rate, where it has one
    has_truth: bool = False

    def __init__(self) -> None:
        self.skipped: list[Skipped] = []

    @abstractmethod
    def __iter__(self) -> Iterator[SourceFrame]:
        """Yield the frames in order; raises DataError when nothing (more) can be read at all."""

    def _skip(self, name: str, cause: object) -> None:
        self.skipped.append(Skipped(name, str(cause)))


def open_source(spec: str, *, fps: float = 15.0, topic: str | None = None) -> Source:
    """Open a source of frames.

    Args:
        spec: ``street`` or ``street:SEED`` (synthetic, endless, with truth); a camera's index; a folder of
            pictures (``NAME.mask.png`` beside a picture is its truth); a video; a WebDataset shard ``.tar``;
            a rosbag (folder, ``.db3`` or ``.mcap``).
        fps: rate of sources that have none of their own, in frames a second.
        topic: image topic of a rosbag that has several.

    Raises:
        DataError: there is no such source, or it cannot be opened.
    """
    if spec == "street" or spec.startswith("street:"):
        return StreetSource(_seed(spec), fps)
    if spec.isdecimal():
        return CameraSource(int(spec))
    path = Path(spec).expanduser()
    if not path.exists():
        raise DataError(
            f"no source {spec!r}: give `street`, a camera's index, or an existing folder of pictures, "
            "video, .tar shard or rosbag"
        )
    if path.is_dir():
        return BagSource(path, topic) if (path / "metadata.yaml").is_file() else FolderSource(path, fps)
    if path.suffix in BAG_FILES:
        return BagSource(path.parent, topic)
    return ShardSource(path, fps) if path.suffix == ".tar" else VideoSource(path)


def _seed(spec: str) -> int:
    text = spec.partition(":")[2] or "0"
    if not text.isdecimal():
        raise DataError(f"source {spec!r}: a street's seed is a whole number from 0, such as street:7")
    return int(text)


def _index_ns(index: int, fps: float) -> int:
    return round(index * SECOND_NS / fps)


class StreetSource(Source):
    """The synthetic street, without end; each scene lasts ten seconds, then the next seed follows."""

    kind = "street"
    has_truth = True
    SCENE_S = 10.0

    def __init__(self, seed: int, fps: float) -> None:
        super().__init__()
        self.seed, self.rate_hz = seed, fps

    def __iter__(self) -> Iterator[SourceFrame]:
        """Yield frames for ever."""
        from frankensplit.data.street import Street

        assert self.rate_hz is not None
        length = max(1, round(self.SCENE_S * self.rate_hz))
        for index in itertools.count():
            if index % length == 0:
                street = Street(self.seed + index // length, fps=self.rate_hz)
            frame = street.frame(index % length)
            name = f"street_{street.seed:04d}_{index % length:05d}"
            yield SourceFrame(frame.rgb, frame.mask, _index_ns(index, self.rate_hz), name)


class FolderSource(Source):
    """Pictures of one folder in order of their names."""

    kind = "folder"

    def __init__(self, folder: Path, fps: float) -> None:
        super().__init__()
        files = sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURES)
        self.paths = [path for path in files if not path.name.endswith(MASK_SUFFIX)]
        if not self.paths:
            raise DataError(
                f"folder {folder} has no pictures: expected files that end with {', '.join(PICTURES)}"
            )
        self.rate_hz = fps
        self.has_truth = any(_mask_path(path).is_file() for path in self.paths)

    def __iter__(self) -> Iterator[SourceFrame]:
        """Yield each picture that can be read."""
        assert self.rate_hz is not None
        for index, path in enumerate(self.paths):
            try:
                rgb = np.ascontiguousarray(_read(path, cv2.IMREAD_COLOR)[:, :, ::-1])
                mask = _read(_mask_path(path), cv2.IMREAD_GRAYSCALE) if _mask_path(path).is_file() else None
            except DataError as err:
                self._skip(path.name, err)
                continue
            yield SourceFrame(rgb, mask, _index_ns(index, self.rate_hz), path.stem)
        _require_some(self, len(self.paths))


def _mask_path(picture: Path) -> Path:
    return picture.with_name(picture.stem + MASK_SUFFIX)


def _read(path: Path, flags: int) -> NDArray[np.uint8]:
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as err:
        raise DataError(f"cannot read {path}: {err.strerror}") from err
    pixels = cv2.imdecode(data, flags) if data.size else None
    if pixels is None:
        raise DataError(f"{path} is damaged or no picture ({data.size} bytes)")
    return np.asarray(pixels, np.uint8)


def _require_some(source: Source, total: int) -> None:
    if total and len(source.skipped) >= total:
        first = source.skipped[0]
        raise DataError(f"none of {total} frames can be read; the first, {first.name}: {first.cause}")


class ShardSource(Source):
    """Samples of a WebDataset shard: ``KEY.jpg`` (or webp, png) and perhaps ``KEY.mask.png``."""

    kind = "shard"

    def __init__(self, path: Path, fps: float) -> None:
        super().__init__()
        self.path, self.rate_hz = path, fps
        first = next(read_shard(path), None)
        if first is None:
            raise DataError(f"shard {path} is empty")
        self.has_truth = first.mask() is not None

    def __iter__(self) -> Iterator[SourceFrame]:
        """Yield each sample that can be read."""
        assert self.rate_hz is not None
        count = 0
        for index, sample in enumerate(read_shard(self.path)):
            count += 1
            try:
                rgb, mask = sample.image(), sample.mask()
            except DataError as err:
                self._skip(sample.key, err)
                continue
            yield SourceFrame(rgb, mask, _index_ns(index, self.rate_hz), sample.key)
        _require_some(self, count)


class VideoSource(Source):
    """Frames of a video file, decoded by FFmpeg."""

    kind = "video"

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        with self._open() as container:
            if not container.streams.video:
                raise DataError(f"{path} has no picture stream")
            rate = container.streams.video[0].average_rate
            self.rate_hz = float(rate) if rate else None

    def _open(self) -> Any:
        import av

        try:
            return av.open(str(self.path))
        except (av.error.FFmpegError, OSError) as err:
            raise DataError(f"cannot open {self.path} as a video: {err}") from err

    def __iter__(self) -> Iterator[SourceFrame]:
        """Yield each frame that can be decoded."""
        import av

        with self._open() as container:
            found, packets = 0, container.demux(container.streams.video[0])
            for number in itertools.count():
                try:
                    packet = next(packets, None)
                    frames = packet.decode() if packet is not None else []
                except av.error.FFmpegError as err:
                    self._skip(f"{self.path.name} packet {number}", err)
                    continue
                if packet is None:
                    break
                for frame in frames:
                    name = f"{self.path.stem}_{found:06d}"
                    yield SourceFrame(
                        frame.to_ndarray(format="rgb24"), None, round((frame.time or 0) * SECOND_NS), name
                    )
                    found += 1
        if not found:
            raise DataError(f"{self.path} holds no frame that can be decoded")


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

    def __iter__(self) -> Iterator[SourceFrame]:
        """Yield frames until the camera gives no more."""
        start = cv2.getTickCount()
        for number in itertools.count():
            good, bgr = self._capture.read()
            if not good:
                raise DataError(f"camera {self.index} gave no frame after {number} frames")
            stamp_ns = round((cv2.getTickCount() - start) / cv2.getTickFrequency() * SECOND_NS)
            rgb = np.ascontiguousarray(bgr[:, :, ::-1], np.uint8)
            yield SourceFrame(rgb, None, stamp_ns, f"camera{self.index}_{number:06d}")


class BagSource(Source):
    """Images of one topic of a rosbag2, sqlite3 or mcap."""

    kind = "rosbag"
    TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")

    def __init__(self, folder: Path, topic: str | None) -> None:
        super().__init__()
        self.folder = folder
        with closing(self._open()) as reader:
            images = {c.topic: c for c in reader.connections if c.msgtype in self.TYPES}
            self.topic = _choose_topic(folder, images, topic)
            count, seconds = images[self.topic].msgcount, reader.duration / SECOND_NS
            self.rate_hz = (count - 1) / seconds if count > 1 and seconds > 0 else None

    def _open(self) -> Any:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore

        try:
            reader = AnyReader([self.folder], default_typestore=get_typestore(Stores.ROS2_HUMBLE))
            reader.open()
        # A damaged bag fails in its yaml, its sqlite or its chunks, each with errors of its own.
        except Exception as err:
            raise DataError(f"cannot open rosbag {self.folder}: {err}; try `ros2 bag reindex`") from err
        return reader

    def _messages(self, reader: Any) -> Iterator[Any]:
        chosen = [c for c in reader.connections if c.topic == self.topic]
        try:
            yield from reader.messages(chosen)
        except DataError:
            raise
        except Exception as err:  # as above
            raise DataError(f"rosbag {self.folder} is damaged: {err}; try `ros2 bag reindex`") from err

    def __iter__(self) -> Iterator[SourceFrame]:
        """Yield each image that can be understood."""
        from rosbags.serde import SerdeError

        with closing(self._open()) as reader:
            number = -1
            for number, (connection, recorded_ns, data) in enumerate(self._messages(reader)):
                name = f"{self.topic.strip('/').replace('/', '_')}_{number:06d}"
                try:
                    message = reader.deserialize(data, connection.msgtype)
                    rgb = _image_to_rgb(message)
                except (FrankensplitError, SerdeError, ValueError, IndexError) as err:
                    self._skip(name, err)
                    continue
                yield SourceFrame(rgb, None, _stamp_ns(message) or recorded_ns, name)
        _require_some(self, number + 1)


def _choose_topic(folder: Path, images: dict[str, Any], topic: str | None) -> str:
    if not images:
        raise DataError(f"rosbag {folder} has no topic of {' or '.join(BagSource.TYPES)}")
    if topic is None and len(images) > 1:
        raise DataError(f"rosbag {folder} has several image topics, name one: {', '.join(sorted(images))}")
    chosen = topic or next(iter(images))
    if chosen not in images:
        raise DataError(
            f"rosbag {folder} has no image topic {chosen!r}: there are {', '.join(sorted(images))}"
        )
    return chosen


def _image_to_rgb(message: Any) -> NDArray[np.uint8]:
    if hasattr(message, "format"):
        return decode_compressed(message.data, message.format)
    return np.array(message_to_rgb(message))  # not a view of the bag's memory


def _stamp_ns(message: Any) -> int:
    stamp = message.header.stamp
    return int(stamp.sec) * SECOND_NS + int(stamp.nanosec)
