# SPDX-License-Identifier: Apache-2.0
"""Tiny pictures, masks, shards, videos and bags with known content."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray


def picture(value: int = 0, height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    smooth = np.add.outer(np.arange(height), np.arange(width)) + 10 * value
    return np.dstack([smooth, smooth[::-1], np.full_like(smooth, 8 * value)]).astype(np.uint8)


def mask(value: int = 0) -> NDArray[np.uint8]:
    return np.full((48, 64), value, np.uint8)


def png(pixels: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".png", pixels[..., ::-1] if pixels.ndim == 3 else pixels)[1].tobytes()


def write_shard(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def write_video(path: Path, count: int) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "4"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv444p"
        for index in range(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(index), format="rgb24")))
        container.mux(stream.encode(None))


def write_bag(
    folder: Path,
    storage: str,
    damaged: int | None = None,
    topics: tuple[str, ...] = ("/cam/image",),
    garbled: int | None = None,
    compression: str = "NONE",
) -> None:
    """Write four images a topic; ``damaged`` lacks a byte of its pixels, ``garbled`` is not a message at all."""
    from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_HUMBLE)
    types = store.types
    bag = Writer(folder, version=9, storage_plugin=StoragePlugin[storage])
    bag.set_compression(CompressionMode[compression], CompressionFormat.ZSTD)
    with bag as writer:
        for topic in topics:
            connection = writer.add_connection(topic, "sensor_msgs/msg/Image", typestore=store)
            for index in range(4):
                stamp = types["builtin_interfaces/msg/Time"](sec=10, nanosec=index * 1000)
                header = types["std_msgs/msg/Header"](stamp=stamp, frame_id="camera")
                data = picture(index)[..., ::-1].reshape(-1).copy()
                data = data[:-1] if index == damaged else data
                message = types["sensor_msgs/msg/Image"](header, 48, 64, "bgr8", 0, 64 * 3, data)
                data = store.serialize_cdr(message, "sensor_msgs/msg/Image")
                writer.write(connection, 10**10 + index, data[:30] if index == garbled else data)
