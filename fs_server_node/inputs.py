# SPDX-License-Identifier: Apache-2.0
"""Subscriptions that turn messages into frames, while somebody wants what is made of them, and count missing ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from itertools import count

from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from frankensplit.bundle import Codec
from fs_common.images import AnyImage
from fs_common.lazy_input import LazyInput
from fs_common.publishers import Source
from fs_common.topics import is_compressed
from fs_msgs.msg import CompressedLatent
from fs_server_node.frames import ImageFrame, LatentFrame, ReceivedFrame, RecentImages
from fs_server_node.names import overlay_topic
from fs_server_node.parameters import ServerParameters

Take = Callable[[ReceivedFrame, Mapping[str, int]], None]  # a frame, and what to count for the gap before it
Wanted = Callable[[], bool]

WRAP = 2**32  # of sequence numbers
HIGHEST_HZ = 1000.0  # no camera with an encoder behind it is faster: no more frames can be lost a second
BURST = 1000.0  # frames that may be missing at once besides: packets that waited together come together
ALONE = "give each robot a namespace (namespace:=robot1 and the like), and name each one's latents in latent_topics"


class SequenceGaps:
    """Count gaps in a uint32 sequence that wraps.

    A number that does not rise, or rises further than frames can have come since the last one, is not a loss but a
    jump: the sender has restarted, two send to one topic, or the number is forged. So all losses of a stream are
    fewer than ``HIGHEST_HZ`` times its age in seconds, and ``BURST``.

    Args:
        clock: monotonic seconds.
        alone: whether one sender has the topic for itself: where several do, a gap says nothing about losses.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, alone: Callable[[], bool] = lambda: True
    ) -> None:
        self._clock = clock
        self._alone = alone
        self._last: int | None = None
        self._at = clock()
        self._credit = BURST  # frames that can be missing now

    def before(self, sequence: int) -> dict[str, int]:
        """Take the number of the frame that came; return what to count: ``lost`` frames before it, or ``jumps``."""
        last, self._last = self._last, sequence
        now = self._clock()
        self._credit = min(self._credit, BURST) + HIGHEST_HZ * (now - self._at)
        self._at = now
        if last is None:
            return {}
        missing = (sequence - last - 1) % WRAP
        if missing > self._credit or (missing and not self._alone()):
            return {"jumps": 1}
        self._credit -= missing
        return {"lost": missing}


def subscribe_latents(
    node: Node,
    topic: str,
    chosen: ServerParameters,
    codecs: Mapping[bytes, Codec],
    wanted: Wanted,
    wants_overlay: Wanted,
    take: Take,
) -> LazyInput:
    """Take the latents of a robot; keep its camera's images, if they are known, while overlays are wanted."""
    full = node.resolve_topic_name(topic)
    reliability, depth = chosen.latent_reliability, chosen.latent_depth
    source = Source(node, full, CompressedLatent, "latent", reliability, depth, alone=ALONE)
    gaps, images = SequenceGaps(alone=lambda: len(source.publishers()) < 2), RecentImages()

    def on_latent(latent: CompressedLatent) -> None:
        received = node.get_clock().now().to_msg()
        missing = gaps.before(latent.sequence)
        take(LatentFrame(latent, received, codecs, images), missing)

    if chosen.overlay_image:
        name = overlay_topic(topic, chosen.overlay_image)
        LazyInput(_images(node, name, Image, chosen), images.keep, wants_overlay)
    return LazyInput(source, on_latent, wanted)


def subscribe_images(
    node: Node, topic: str, chosen: ServerParameters, wanted: Wanted, take: Take
) -> LazyInput:
    """Take plain images; those of ``.../compressed`` are files in messages, as image_transport sends them."""
    numbers = count()

    def on_image(image: AnyImage) -> None:
        take(ImageFrame(image, next(numbers) % WRAP), {})

    kind = CompressedImage if is_compressed(topic) else Image
    return LazyInput(_images(node, topic, kind, chosen), on_image, wanted)


def _images(node: Node, topic: str, kind: type, chosen: ServerParameters) -> Source:
    full = node.resolve_topic_name(topic)
    reliability, depth = chosen.image_reliability, chosen.image_depth
    return Source(node, full, kind, "image", reliability, depth, alone="give each client a topic of its own")
