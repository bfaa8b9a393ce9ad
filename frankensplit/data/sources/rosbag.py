# SPDX-License-Identifier: Apache-2.0
"""Images of a rosbag2."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frankensplit.data.bags import BAG_FILES, BAG_INDEX, cut_off, journals, open_reader, read_messages
from frankensplit.data.sources import SECOND_NS, Place, Skipped, Source, SourceFrame
from frankensplit.edge.image import decode_compressed, message_to_rgb
from frankensplit.errors import DataError, one_line, shown

ORDER = 20


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
    return np.array(message_to_rgb(message))  # a copy: a view would keep the bag's memory


def _stamp_ns(message: Any) -> int:
    stamp = message.header.stamp
    return int(stamp.sec) * SECOND_NS + int(stamp.nanosec)


def open_place(place: Place, fps: float, topic: str | None) -> Source | None:
    """Open a folder with a bag's index, or one file of a bag."""
    bag = place.folder and (place.folder / BAG_INDEX).is_file()
    path = place.path if bag else place.file(*BAG_FILES)
    return BagSource(path, topic) if path else None
