# SPDX-License-Identifier: Apache-2.0
"""Pictures for an operator: small JPEGs of what the encoder sees, which never hold up a packet."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from frankensplit.edge.rate_control import RateControl
from fs_common.declare import ParameterSnapshot
from fs_common.images import jpeg_message
from fs_common.lazy_input import output_events
from fs_common.qos import keep_last
from fs_common.stream import Stream
from fs_common.worker import NewestWins
from fs_edge_node.parameters import EdgeParameters

TOPIC = "preview/compressed"  # image_transport's name for the compressed images of `preview`


@dataclass(frozen=True)
class PreviewImage:
    """An image whose preview is due."""

    header: Header
    rgb: NDArray[np.uint8]


class Preview:
    """Publish a picture now and then, made in a thread of its own.

    The topic is reliable and keeps one: who listens best effort is served best effort, and RViz, which asks for
    reliable, is served as well.

    Args:
        node: that publishes.
        chosen: the parameters ``preview_*`` as they are now.
        rate: pays for the bytes.
        stream: counts what goes wrong.
        follow: called when a subscriber comes or goes.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        node: Node,
        chosen: ParameterSnapshot[EdgeParameters],
        rate: RateControl,
        stream: Callable[[], Stream],
        follow: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._chosen = chosen
        self._rate = rate
        self._stream = stream
        self._clock = clock
        self._last = -math.inf  # when the newest one was due
        qos, events = keep_last("reliable", 1), output_events(follow)
        self._publisher = node.create_publisher(CompressedImage, TOPIC, qos, event_callbacks=events)
        self._worker = NewestWins[PreviewImage](self._work, "preview")

    def close(self) -> None:
        """End the thread."""
        self._worker.close()

    def listened(self) -> bool:
        """Tell whether anybody subscribes."""
        return self._publisher.get_subscription_count() > 0

    def due(self) -> bool:
        """Tell whether the next frame is to be shown."""
        return self.listened() and self._clock() >= self._last + self._period_s()

    def offer(self, header: Header, rgb: NDArray[np.uint8]) -> None:
        """Take a frame that is done with, uint8 RGB ``(H, W, 3)``; it is shown if a preview is due."""
        if not self.due():
            return
        now, period_s = self._clock(), self._period_s()
        # Not from now on, so that nothing drifts, unless there was a pause.
        self._last = max(self._last + period_s, now - period_s)
        self._worker.put("", PreviewImage(header, rgb))

    def _period_s(self) -> float:
        return self._rate.besides_s(self._least_s())

    def _least_s(self) -> float:
        return 1 / self._chosen.values.preview_fps

    def _work(self, _stream: str, shot: PreviewImage) -> None:
        self._stream().guard(lambda: self._show(shot))

    def _show(self, shot: PreviewImage) -> None:
        chosen = self._chosen.values
        small = shrunk(shot.rgb, chosen.preview_size)
        message = jpeg_message(shot.header, small, chosen.preview_quality)
        self._rate.spent_besides(len(message.data), self._least_s())
        self._publisher.publish(message)


def shrunk(rgb: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    """Scale a picture ``(H, W, 3)`` down until no side is longer than this."""
    height, width = rgb.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return rgb
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
