# SPDX-License-Identifier: Apache-2.0
"""Send frames through a codec, ours or a rival's, and predict from what arrives.

A rival codes the frame at the size at which the network sees it (scaled, not padded); the unmodified backbone then sees
the decoded frame. A rival of features or latents codes those instead, and the rest of the way is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from frankensplit.bundle import Bundle
from frankensplit.edge.encoder import FrameEncoder
from frankensplit.errors import DataError
from frankensplit.evaluation import OURS
from frankensplit.evaluation.rivals import Coder, Options, Quality, load_rival
from frankensplit.geometry import Geometry
from frankensplit.inference.predictor import Predictor
from frankensplit.results import Result


@dataclass(frozen=True)
class ChannelResult:
    """Bytes that one frame took on the wire, and what was predicted from them."""

    payload_bytes: int
    results: dict[str, Result]


class Channel(Protocol):
    """A stream of frames, in order, through one codec at one quality."""

    def send(self, rgb: NDArray[np.uint8]) -> ChannelResult:
        """Code one source frame, uint8 RGB ``(H, W, 3)``, and predict from its bytes."""


class OurChannel:
    """Real packets, header and checksum included, through the bundle's own path at one quality level."""

    def __init__(self, predictor: Predictor, encoder: FrameEncoder, level: int) -> None:
        self.predictor, self.encoder, self.level = predictor, encoder, level

    def send(self, rgb: NDArray[np.uint8]) -> ChannelResult:
        """Code and predict one frame."""
        packet = self.encoder.encode(rgb, self.level).data
        return ChannelResult(len(packet), self.predictor.predict(packet).results)


class RivalChannel:
    """A rival codec before the unmodified backbone; begins a new stream where the frames' size changes."""

    def __init__(
        self, name: str, quality: Quality, options: Options, predictor: Predictor, encoder: FrameEncoder
    ) -> None:
        self.name, self.quality, self.options = name, quality, options
        self.predictor, self.encoder = predictor, encoder
        self.rival = load_rival(name)
        self._coder: Coder | None = None
        self._size = (0, 0)

    def send(self, rgb: NDArray[np.uint8]) -> ChannelResult:
        """Code and predict one frame."""
        geometry = self.predictor.codec.geometry(*rgb.shape[:2])
        size = (geometry.scaled_height, geometry.scaled_width)
        if self._coder is None or size != self._size:
            self._coder, self._size = self.rival.open_coder(self.quality, self.options), size
        data = self._coder.encode(signal_of(self.rival.signal, rgb, self.predictor, self.encoder))
        decoded = self._coder.decode(data)
        if decoded is None:
            raise DataError(f"rival {self.name} at quality {self.quality} gave no picture for its own packet")
        return ChannelResult(len(data), predict_signal(self.rival.signal, decoded, geometry, self.predictor))


def open_channel(
    codec: str, quality: Quality, options: Options, predictor: Predictor, encoder: FrameEncoder
) -> Channel:
    """Begin a stream through our codec (``frankensplit``) or a rival."""
    if codec == OURS:
        return OurChannel(predictor, encoder, int(quality or 0))
    return RivalChannel(codec, quality, options, predictor, encoder)


def signal_of(kind: str, rgb: NDArray[np.uint8], predictor: Predictor, encoder: FrameEncoder) -> NDArray[Any]:
    """Return what a rival of this ``signal`` codes for a source frame."""
    if kind == "latent":
        return predictor.codec.unpack(encoder.encode(rgb).data)[0]
    geometry = predictor.codec.geometry(*rgb.shape[:2])
    prepared = geometry.prepare(rgb)
    if kind == "features":
        return predictor.shallow(prepared)
    return np.ascontiguousarray(prepared[: geometry.scaled_height, : geometry.scaled_width])


def predict_signal(
    kind: str, signal: NDArray[Any], geometry: Geometry, predictor: Predictor
) -> dict[str, Result]:
    """Return the predictions from what a rival of this ``signal`` decoded; ``geometry`` is the source frame's."""
    if kind == "latent":
        return predictor.predict_symbols(signal, geometry).results
    if kind == "features":
        return predictor.predict_shallow(signal, geometry).results
    height, width = signal.shape[:2]
    padded = Geometry(height, width, height, width, geometry.multiple).prepare(signal)
    return predictor.predict_prepared(padded, geometry).results


def open_ends(
    bundle: Bundle, device: str, threads: int, precision: str = "fp32"
) -> tuple[Predictor, FrameEncoder]:
    """Open the server's and the robot's networks of a bundle, the latter in this precision."""
    encoder = FrameEncoder(bundle.codec, threads=threads, precision=precision)
    return Predictor(bundle, device, threads), encoder
