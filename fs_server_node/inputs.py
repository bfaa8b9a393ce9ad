# SPDX-License-Identifier: Apache-2.0
"""Subscriptions that turn messages into frames, while somebody wants what is made of them."""

from __future__ import annotations

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
from fs_server_node.backdrop import Backdrop
from fs_server_node.frame import Frame
from fs_server_node.image_frame import ImageFrame
from fs_server_node.latent_frame import LatentFrame
from fs_server_node.names import overlay_topic
from fs_server_node.parameters import ServerParameters
from fs_server_node.sequence import WRAP, SequenceGaps

Take = Callable[[Frame, Mapping[str, int]], None]  # a frame, and what to count for the gap before it
Wanted = Callable[[], bool]
ALONE = "give each robot a namespace (namespace:=robot1 and the like), and name each one's latents in latent_topics"


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
    gaps, backdrop = SequenceGaps(alone=lambda: len(source.publishers()) < 2), Backdrop()

    def on_latent(latent: CompressedLatent) -> None:
        received = node.get_clock().now().to_msg()
        missing = gaps.before(latent.sequence)
        take(LatentFrame(latent, received, codecs, backdrop), missing)

    if chosen.overlay_image:
        name = overlay_topic(topic, chosen.overlay_image)
        LazyInput(_images(node, name, Image, chosen), backdrop.keep, wants_overlay)
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
