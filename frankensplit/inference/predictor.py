# SPDX-License-Identifier: Apache-2.0
"""Packets to predictions: entropy decoding, blueprint, frozen tail, heads."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from frankensplit.bundle import Bundle
from frankensplit.codec.packet import Packet
from frankensplit.errors import RuntimeUnavailable
from frankensplit.geometry import Geometry
from frankensplit.models.backbone import freeze
from frankensplit.models.from_bundle import load_backbone, load_blueprint, load_heads
from frankensplit.models.placement import place
from frankensplit.results import Result


@dataclass(frozen=True)
class HeadInfo:
    """A head as its consumers see it; ``kind`` is ``mask``, ``boxes`` or ``classes``."""

    name: str
    kind: str
    classes: list[str]
    threshold: float


@dataclass(frozen=True)
class Prediction:
    """Results by head, in source pixels, and what each step took."""

    results: dict[str, Result]
    entropy_ms: float  # 0 unless it began with a packet
    features_ms: float
    head_ms: dict[str, float]
    packet: Packet | None  # None unless it began with one


class Predictor:
    """The server's networks of one bundle; not for several threads at once.

    Args:
        bundle: a verified bundle.
        device: torch device.
        threads: CPU threads of torch; 0 leaves its default.

    Raises:
        BundleError: the weights do not fit the networks that the manifest names.
        RuntimeUnavailable: the device is not there.
    """

    def __init__(self, bundle: Bundle, device: str = "cpu", threads: int = 0) -> None:
        if threads:
            torch.set_num_threads(threads)
        self.bundle, self.codec, self.device = bundle, bundle.codec, _device(device)
        self.backbone = load_backbone(bundle)
        self._heads = load_heads(bundle, self.backbone)
        self.blueprint, medians = load_blueprint(bundle, self.backbone)
        self._medians = medians.view(1, -1, 1, 1).to(self.device)
        for module in (self.blueprint, self.backbone, *self._heads.values()):
            place(freeze(module), self.device)

    @property
    def heads(self) -> dict[str, HeadInfo]:
        """The bundle's heads by name."""
        return {
            name: HeadInfo(name, head.kind, head.classes, head.threshold)
            for name, head in self._heads.items()
        }

    def predict(self, data: bytes, heads: Collection[str] | None = None) -> Prediction:
        """Predict from one packet.

        Args:
            data: the packet's bytes.
            heads: names of the wanted heads; None for all.

        Raises:
            PacketError: the packet is damaged or of another codec.
        """
        start = time.perf_counter()
        symbols, packet = self.codec.unpack(data)
        entropy_ms = _ms_since(start)
        geometry = self.codec.geometry(packet.source_height, packet.source_width)
        prediction = self.predict_symbols(symbols, geometry, heads, packet.level)
        return replace(prediction, entropy_ms=entropy_ms, packet=packet)

    def predict_symbols(
        self,
        symbols: NDArray[np.int32],
        geometry: Geometry,
        heads: Collection[str] | None = None,
        level: int = 0,
    ) -> Prediction:
        """Predict from a packet's integers, int32 ``(C, h, w)``, of this quality level."""
        start = time.perf_counter()
        return self._finish(self._tail(self._restore(symbols, level)), geometry, heads, start)

    def predict_image(self, rgb: NDArray[np.uint8], heads: Collection[str] | None = None) -> Prediction:
        """Predict from a plain image, uint8 RGB ``(H, W, 3)``, by the unmodified backbone.

        Raises:
            ImageError: shape or dtype are wrong.
        """
        geometry = self.codec.geometry(rgb.shape[0], rgb.shape[1])
        return self.predict_prepared(geometry.prepare(rgb), geometry, heads)

    def predict_prepared(
        self, frame: NDArray[np.uint8], geometry: Geometry, heads: Collection[str] | None = None
    ) -> Prediction:
        """Predict from a frame already scaled and padded by ``geometry``, by the unmodified backbone."""
        start = time.perf_counter()
        return self._finish(self._tail(self._shallow(frame)), geometry, heads, start)

    def shallow(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the unmodified backbone's shallow features of a prepared frame, float32 ``(C, h, w)``."""
        return np.ascontiguousarray(self._shallow(frame)[0].float().cpu().numpy())

    def predict_shallow(
        self, shallow: NDArray[np.float32], geometry: Geometry, heads: Collection[str] | None = None
    ) -> Prediction:
        """Predict from shallow features, float32 ``(C, h, w)``, however they came here."""
        start = time.perf_counter()
        features = torch.from_numpy(shallow).to(self.device).unsqueeze(0)
        return self._finish(self._tail(features), geometry, heads, start)

    @torch.inference_mode()
    def _shallow(self, frame: NDArray[np.uint8]) -> Tensor:
        image = torch.from_numpy(frame).to(self.device).permute(2, 0, 1).unsqueeze(0)
        shallow: Tensor = self.backbone.shallow(_channels_last(self.backbone.normalise(image)))
        return shallow

    def restore(self, symbols: NDArray[np.int32], level: int = 0) -> NDArray[np.float32]:
        """Return the shallow features that the blueprint makes of a packet's integers, float32 ``(C, h, w)``."""
        return np.ascontiguousarray(self._restore(symbols, level)[0].float().cpu().numpy())

    @torch.inference_mode()
    def _restore(self, symbols: NDArray[np.int32], level: int) -> Tensor:
        steps = torch.from_numpy(symbols).to(self.device).float().unsqueeze(0)
        latent = steps * self.codec.levels[level].step + self._medians
        shallow: Tensor = self.blueprint(_channels_last(latent))
        return shallow

    @torch.inference_mode()
    def _tail(self, shallow: Tensor) -> list[Tensor]:
        return self.backbone.tail(_channels_last(shallow))

    def _finish(
        self,
        features: list[Tensor],
        geometry: Geometry,
        heads: Collection[str] | None,
        start: float,
    ) -> Prediction:
        _wait(self.device)
        features_ms = _ms_since(start)
        results: dict[str, Result] = {}
        head_ms: dict[str, float] = {}
        for name in self._heads if heads is None else heads:
            start = time.perf_counter()
            with torch.inference_mode():
                results[name] = self._heads[name].result(self._heads[name](features), geometry)
            head_ms[name] = _ms_since(start)
        return Prediction(results, 0.0, features_ms, head_ms, None)


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as err:
        raise RuntimeUnavailable(f"torch device {name!r} cannot be used here: {err}; try cpu") from err
    return device


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _ms_since(start: float) -> float:
    return (time.perf_counter() - start) * 1e3
