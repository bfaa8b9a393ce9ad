# SPDX-License-Identifier: Apache-2.0
"""Subscriptions that turn messages into frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count

from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image

from frankensplit.bundle import Codec
from fs_common.images import AnyImage
from fs_common.qos import keep_last
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


def subscribe_latents(
    node: Node,
    topic: str,
    chosen: ServerParameters,
    codecs: Mapping[bytes, Codec],
    wants_overlay: Callable[[], bool],
    take: Take,
) -> None:
    """Take the latents of a robot; keep its camera's images, if they are known, while overlays are wanted."""
    gaps, backdrop = SequenceGaps(), Backdrop()

    def on_latent(latent: CompressedLatent) -> None:
        received = node.get_clock().now().to_msg()
        missing = gaps.before(latent.sequence)
        take(LatentFrame(latent, received, codecs, backdrop), missing)

    def on_image(image: Image) -> None:
        if wants_overlay():
            backdrop.keep(image)

    qos = keep_last(chosen.latent_reliability, chosen.latent_depth)
    node.create_subscription(CompressedLatent, topic, on_latent, qos)
    if chosen.overlay_image:
        node.create_subscription(
            Image, overlay_topic(topic, chosen.overlay_image), on_image, _image_qos(chosen)
        )


def subscribe_images(node: Node, topic: str, chosen: ServerParameters, take: Take) -> None:
    """Take plain images; those of ``.../compressed`` are files in messages, as image_transport sends them."""
    numbers = count()

    def on_image(image: AnyImage) -> None:
        take(ImageFrame(image, next(numbers) % WRAP), {})

    kind = CompressedImage if is_compressed(topic) else Image
    node.create_subscription(kind, topic, on_image, _image_qos(chosen))


def _image_qos(chosen: ServerParameters) -> QoSProfile:
    return keep_last(chosen.image_reliability, chosen.image_depth)
