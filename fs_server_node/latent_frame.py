# SPDX-License-Identifier: Apache-2.0
"""A frame that a robot's encoder sent."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray

from frankensplit.bundle import CODEC_FORMAT, Bundle, Codec
from frankensplit.codec.packet import Packet
from frankensplit.errors import PacketError, shown
from frankensplit.geometry import Geometry
from fs_common.times import elapsed_ms
from fs_msgs.msg import CompressedLatent, FrameReport
from fs_server_node.backdrop import Backdrop
from fs_server_node.frame import Frame

if TYPE_CHECKING:
    from frankensplit.inference.predictor import Prediction, Predictor


class LatentFrame(Frame):
    """A latent, for every bundle of its codec.

    Args:
        latent: the message.
        received: when it came (node clock).
        codecs: the codecs that are served, by id.
        backdrop: recent images of the robot's camera.
    """

    def __init__(
        self, latent: CompressedLatent, received: Time, codecs: Mapping[bytes, Codec], backdrop: Backdrop
    ) -> None:
        self.header = latent.header
        self.payload_bytes = len(latent.data)
        self._latent = latent
        self._received = received
        self._codecs = codecs
        self._backdrop = backdrop

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
        return self._backdrop.for_frame(self.header, self._packet.source_height, self._packet.source_width)

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

    @cached_property
    def _packet(self) -> Packet:
        if self._latent.format != CODEC_FORMAT:
            raise PacketError(
                f"latent has format {shown(self._latent.format)}, expected {CODEC_FORMAT!r}: update both sides"
            )
        return Packet.from_bytes(bytes(self._latent.data))

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
        start = time.perf_counter()
        symbols, packet = self._codec.unpack(bytes(self._latent.data))
        geometry = self._codec.geometry(packet.source_height, packet.source_width)
        return symbols, geometry, (time.perf_counter() - start) * 1e3

    def _transit_ms(self) -> float:
        """Give arrival here minus the end of the edge's work; NaN where the clocks disagree."""
        latent = self._latent
        edge_ms = latent.preprocess_ms + latent.encode_ms + latent.entropy_ms
        transit_ms = elapsed_ms(latent.received, self._received) - edge_ms
        return transit_ms if transit_ms >= 0 else float("nan")
