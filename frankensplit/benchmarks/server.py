# SPDX-License-Identifier: Apache-2.0
"""The server's stages one by one, and the size of its networks."""

from __future__ import annotations

import time

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from frankensplit.bundle import Bundle
from frankensplit.evaluation.network_cost import macs_of, parameters_of
from frankensplit.geometry import Geometry
from frankensplit.inference.predictor import Prediction, Predictor


class Server:
    """A predictor whose stages are timed apart.

    Args:
        bundle: the bundle.
        device: torch device.
        threads: CPU threads of torch.
    """

    def __init__(self, bundle: Bundle, device: str = "cpu", threads: int = 1) -> None:
        self.predictor = Predictor(bundle, device, threads)

    def shallow(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return what the backbone's shallow layers give for a scaled and padded frame."""
        return self.predictor.shallow(frame)

    def from_symbols(self, symbols: NDArray[np.int32], geometry: Geometry) -> dict[str, float]:
        """Predict from our integers; return the milliseconds of blueprint (``decode_ms``), tail and heads."""
        started = time.perf_counter()
        features = self.predictor.restore(symbols)
        decode_ms = (time.perf_counter() - started) * 1e3
        return {"decode_ms": decode_ms, **self.from_shallow(features, geometry)}

    def from_shallow(self, features: NDArray[np.float32], geometry: Geometry) -> dict[str, float]:
        """Predict from shallow features; return the milliseconds of tail and heads."""
        return _times(self.predictor.predict_shallow(features, geometry))

    def from_picture(self, frame: NDArray[np.uint8], geometry: Geometry) -> dict[str, float]:
        """Predict from a scaled and padded picture; return the milliseconds of the whole backbone and of heads."""
        return _times(self.predictor.predict_prepared(frame, geometry))

    def blueprint_cost(self, latent_shape: tuple[int, int, int]) -> tuple[int, int]:
        """Return parameters and multiply-accumulates of the blueprint."""
        return _cost(self.predictor.blueprint, (1, *latent_shape))

    def shallow_cost(self, geometry: Geometry) -> tuple[int, int]:
        """Return parameters and multiply-accumulates of the backbone's shallow layers."""
        return _cost(self.predictor.backbone.shallow, _picture(geometry))

    def backbone_cost(self, geometry: Geometry) -> tuple[int, int]:
        """Return parameters and multiply-accumulates of the whole backbone, without heads."""
        return _cost(self.predictor.backbone, _picture(geometry))


def _cost(module: nn.Module, shape: tuple[int, ...]) -> tuple[int, int]:
    macs, _ = macs_of(module, torch.empty(shape, device="meta"))
    return parameters_of(module), macs


def _picture(geometry: Geometry) -> tuple[int, ...]:
    return 1, 3, geometry.padded_height, geometry.padded_width


def _times(prediction: Prediction) -> dict[str, float]:
    return {"tail_ms": prediction.features_ms, "heads_ms": sum(prediction.head_ms.values())}
