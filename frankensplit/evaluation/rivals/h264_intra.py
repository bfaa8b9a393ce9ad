# SPDX-License-Identifier: Apache-2.0
"""H.264 as a robot streams it when each frame must decode alone: x264, zero latency, key frames only.

The quality is x264's constant rate factor: lower is better. Parameter sets are in each packet and counted; the note in
which x264 names itself, which a stream carries once, is not.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

QUALITIES = (40, 37, 34, 31, 28, 25, 22)
START_CODE = b"\0\0\1"
SEI = 6  # NAL unit type of notes


def code(rgb: NDArray[np.uint8], quality: int) -> tuple[int, NDArray[np.uint8]]:
    """Return the coded size in bytes and the decoded picture."""
    height, width = rgb.shape[:2]
    even = cv2.copyMakeBorder(
        rgb, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE
    )  # 4:2:0 needs even sides
    data = _without_notes(_encode(np.asarray(even, np.uint8), quality))
    return len(data), np.ascontiguousarray(_decode(data)[:height, :width])


def _encode(rgb: NDArray[np.uint8], quality: int) -> bytes:
    encoder: Any = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width = rgb.shape[:2]
    encoder.pix_fmt = "yuv420p"
    encoder.time_base = Fraction(1, 15)
    encoder.gop_size = 1
    encoder.options = {"preset": "veryfast", "tune": "zerolatency", "crf": str(quality)}
    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def _decode(data: bytes) -> NDArray[np.uint8]:
    decoder: Any = av.CodecContext.create("h264", "r")
    frames = [*decoder.decode(av.Packet(data)), *decoder.decode(None)]
    return np.asarray(frames[0].to_ndarray(format="rgb24"), np.uint8)


def _without_notes(data: bytes) -> bytes:
    head, *units = data.split(START_CODE)
    return START_CODE.join([head, *(unit for unit in units if unit[0] & 31 != SEI)])
