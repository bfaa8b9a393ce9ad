# SPDX-License-Identifier: Apache-2.0
"""One frame as it came to the server: a latent of a robot's encoder, or a plain image."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from frankensplit.bundle import CODEC_FORMAT, Bundle, Codec
from frankensplit.codec.packet import Packet
from frankensplit.errors import PacketError, shown
from frankensplit.geometry import Geometry
from fs_common.images import AnyImage, builtin_to_rgb, compressed_to_rgb
from fs_common.times import elapsed_ms, stamp_ns
from fs_msgs.msg import CompressedLatent, FrameReport

if TYPE_CHECKING:
    from frankensplit.inference.predictor import Prediction, Predictor

KEPT_IMAGES = 32  # about a second of camera: longer than any prediction that still counts


class ReceivedFrame(ABC):
    """A frame still coded; it is decoded when the first bundle asks for it, and once for all bundles.

    Every method may raise a FrankensplitError: the message cannot be understood.
    """

    header: Header
    payload_bytes: int

    @abstractmethod
    def suits(self, bundle: Bundle) -> bool:
        """Tell whether this bundle can predict from it."""

    @abstractmethod
    def predict(self, predictor: Predictor, heads: Collection[str]) -> Prediction:
        """Predict with a bundle that it suits; ``entropy_ms`` is what decoding took."""

    @abstractmethod
    def picture(self) -> NDArray[np.uint8]:
        """Give what overlays are drawn on: uint8 RGB ``(H, W, 3)`` in the size of the source image."""

    @abstractmethod
    def report(self) -> FrameReport:
        """Make a new report, with all filled in that is known before any prediction."""


class RecentImages:
    """The last images of one camera, which overlays are drawn on."""

    def __init__(self) -> None:
        self._images: OrderedDict[int, Image] = OrderedDict()

    def keep(self, image: Image) -> None:
        """Remember an image, forget the oldest."""
        self._images[stamp_ns(image.header.stamp)] = image
        while len(self._images) > KEPT_IMAGES:
            self._images.popitem(last=False)

    def of_stamp(self, stamp: Time, height: int, width: int) -> NDArray[np.uint8]:
        """Give rgb8 ``(height, width, 3)``: the image of this stamp where it was kept, else black."""
        image = self._images.get(stamp_ns(stamp))
        if image is None or (image.height, image.width) != (height, width):
            return np.zeros((height, width, 3), np.uint8)
        return builtin_to_rgb(image)


class LatentFrame(ReceivedFrame):
    """A latent, for every bundle of its codec.

    Args:
        latent: the message.
        received: when it came (node clock).
        codecs: the codecs that are served, by id.
        images: recent images of the robot's camera.
    """

    def __init__(
        self, latent: CompressedLatent, received: Time, codecs: Mapping[bytes, Codec], images: RecentImages
    ) -> None:
        self.header = latent.header
        self.payload_bytes = len(latent.data)
        self._latent = latent
        self._received = received
        self._codecs = codecs
        self._images = images

    def suits(self, bundle: Bundle) -> bool:
        """Tell whether the bundle has the packet's codec.

        Raises:
            PacketError: the packet is damaged, or no bundle has its codec.
        """
        return bundle.codec.id == self._codec.id

    def predict(self, predictor: Predictor, heads: Collection[str]) -> Prediction:
        """Predict from the packet's integers; PacketError when there are none to be had."""
        symbols, geometry, entropy_ms = self._decoded
        prediction = predictor.predict_symbols(symbols, geometry, heads, self._packet.level)
        return replace(prediction, entropy_ms=entropy_ms)

    def picture(self) -> NDArray[np.uint8]:
        """Give the camera's image of this stamp where it is known, else black."""
        packet = self._packet
        return self._images.of_stamp(self.header.stamp, packet.source_height, packet.source_width)

    def report(self) -> FrameReport:
        """Report the edge's times and the way here."""
        latent = self._latent
        return FrameReport(
            header=latent.header,
            sequence=latent.sequence,
            packet_bytes=self.payload_bytes,
            edge_preprocess_ms=latent.preprocess_ms,
            edge_encode_ms=latent.encode_ms,
            edge_entropy_ms=latent.entropy_ms,
            transit_ms=self._transit_ms(),
        )

    @property
    def _packet(self) -> Packet:
        return self._unpacked[0]

    @cached_property
    def _unpacked(self) -> tuple[Packet, float]:
        """Give the packet, and what reading it took in ms."""
        if self._latent.format != CODEC_FORMAT:
            raise PacketError(
                f"latent has format {shown(self._latent.format)}, expected {CODEC_FORMAT!r}: update both sides"
            )
        start = time.perf_counter()
        return Packet.from_bytes(memoryview(self._latent.data)), _ms_since(start)

    @cached_property
    def _codec(self) -> Codec:
        codec = self._codecs.get(self._packet.codec_id)
        if codec is None:
            served = ", ".join(one.id_hex for one in self._codecs.values())
            raise PacketError(
                f"packet of codec {self._packet.codec_id.hex()}, served here: {served}: "
                "start edge and server with the same bundle, or add its bundle to more_bundles"
            )
        return codec

    @cached_property
    def _decoded(self) -> tuple[NDArray[np.int32], Geometry, float]:
        """Give the packet's integers, their geometry, and what unpacking and decoding took in ms."""
        packet, unpack_ms = self._unpacked
        start = time.perf_counter()
        symbols = self._codec.decode(packet)
        geometry = self._codec.geometry(packet.source_height, packet.source_width)
        return symbols, geometry, unpack_ms + _ms_since(start)

    def _transit_ms(self) -> float:
        """Give arrival here minus the end of the edge's work; NaN where the clocks disagree."""
        latent = self._latent
        edge_ms = latent.preprocess_ms + latent.encode_ms + latent.entropy_ms
        transit_ms = elapsed_ms(latent.received, self._received) - edge_ms
        return transit_ms if transit_ms >= 0 else math.nan


class ImageFrame(ReceivedFrame):
    """A plain image of a client without an encoder, for the unmodified backbone of every bundle.

    ``sequence`` numbers the images of its topic, since they bring no number.
    """

    def __init__(self, image: AnyImage, sequence: int) -> None:
        self.header = image.header
        self.payload_bytes = len(image.data)
        self._image = image
        self._sequence = sequence

    def suits(self, bundle: Bundle) -> bool:
        """Tell that any backbone can look at an image."""
        return True

    def predict(self, predictor: Predictor, heads: Collection[str]) -> Prediction:
        """Predict from the pixels; ImageError when they cannot be understood."""
        rgb, convert_ms = self._converted
        return replace(predictor.predict_image(rgb, heads), entropy_ms=convert_ms)

    def picture(self) -> NDArray[np.uint8]:
        """Give the image itself."""
        return self._converted[0]

    def report(self) -> FrameReport:
        """Report that no edge was at work."""
        return FrameReport(
            header=self.header, sequence=self._sequence, packet_bytes=self.payload_bytes, transit_ms=math.nan
        )

    @cached_property
    def _converted(self) -> tuple[NDArray[np.uint8], float]:
        """Give the image as uint8 RGB ``(H, W, 3)``, and what its conversion took in ms."""
        start = time.perf_counter()
        compressed = isinstance(self._image, CompressedImage)
        rgb = compressed_to_rgb(self._image) if compressed else builtin_to_rgb(self._image)
        return rgb, _ms_since(start)


def _ms_since(start: float) -> float:
    return (time.perf_counter() - start) * 1e3
