# SPDX-License-Identifier: Apache-2.0
"""The figures of a demo: sizes, latency by stage, drops, and the accuracy of every head. No ROS import."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from frankensplit.bundle import Bundle
from frankensplit.data.truth import Truth
from frankensplit.evaluation.metrics import Statistics, metric_for
from frankensplit.models.heads import head_class, heads_with_truth
from frankensplit.results import Result
from fs_demo.frames import DemoFrame, FrameCost

MEASURE_EVERY = 5  # PNG and JPEG of each fifth frame: they are for comparison and cost time
JPEG_QUALITY = 90
TOTAL = "camera to prediction"
REST = "queues and middleware"


class Accuracy:
    """One head against the truth."""

    def __init__(self, name: str, labels: dict[str, Any]) -> None:
        self._head, self._labels = head_class(name, labels), labels
        self._metric = metric_for(self._head.kind, labels)
        self.name = self._metric.name
        self._statistics: list[Statistics] = []

    @property
    def frames(self) -> int:
        """Frames so far."""
        return len(self._statistics)

    def truth(self, mask: NDArray[np.uint8]) -> Result:
        """Return what a perfect head would give."""
        return self._head.truth(Truth(mask), self._labels)

    def add(self, result: Result, mask: NDArray[np.uint8]) -> None:
        """Compare one frame."""
        self._statistics.append(self._metric.frame(result, self.truth(mask)))

    def value(self) -> float:
        """Return the metric in points of 0 to 100; NaN before the first frame."""
        return self._metric.value(self._statistics) if self.frames else math.nan


class Tally:
    """Counts frames; belongs to one thread."""

    def __init__(self, bundle: Bundle) -> None:
        labels = {name: bundle.labels[name] for name in bundle.server["heads"]}
        self.accuracies = {name: Accuracy(name, labels[name]) for name in heads_with_truth(labels, "mask")}
        self.frames = 0
        self.last: FrameCost | None = None
        self._stamps_ns: list[int] = []
        self._sizes: dict[str, list[int]] = {"packet": [], "raw": [], "png": [], "jpeg_q90": []}
        self._stages_ms: dict[str, list[float]] = {}

    def add(self, frame: DemoFrame) -> None:
        """Count one predicted frame."""
        assert frame.cost is not None
        self._stamps_ns.append(frame.stamp_ns)
        self._sizes["packet"].append(frame.cost.packet_bytes)
        if frame.rgb is not None:
            self._measure(frame.rgb, frame.raw_bytes())
        for stage, value in _with_rest(frame.cost).items():
            self._stages_ms.setdefault(stage, []).append(value)
        if frame.truth is not None:
            for name in self.accuracies.keys() & frame.results.keys():
                self.accuracies[name].add(frame.results[name], frame.truth)
        self.frames += 1
        self.last = frame.cost

    def truths(self, mask: NDArray[np.uint8]) -> dict[str, Result]:
        """Return what perfect heads would give for a class mask."""
        return {name: accuracy.truth(mask) for name, accuracy in self.accuracies.items()}

    def _measure(self, rgb: NDArray[np.uint8], raw_bytes: int) -> None:
        self._sizes["raw"].append(raw_bytes)
        if (len(self._sizes["raw"]) - 1) % MEASURE_EVERY == 0:
            grey = raw_bytes < rgb.nbytes and (rgb == rgb[:, :, :1]).all()
            pixels = np.ascontiguousarray(rgb[:, :, 0] if grey else rgb[:, :, ::-1])
            self._sizes["png"].append(len(cv2.imencode(".png", pixels)[1]))
            options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
            self._sizes["jpeg_q90"].append(len(cv2.imencode(".jpg", pixels, options)[1]))

    def sizes(self) -> dict[str, float]:
        """Return mean bytes a frame: packet, pixels as the camera sent them, PNG, JPEG; NaN where none was measured."""
        return {name: float(np.mean(values)) if values else math.nan for name, values in self._sizes.items()}

    def latency_ms(self) -> dict[str, dict[str, float]]:
        """Return p50 and p95 by stage in milliseconds; NaN where the clocks disagreed throughout."""
        return {stage: percentiles(values) for stage, values in self._stages_ms.items()}

    def rate_hz(self) -> float:
        """Return predicted frames a second."""
        span_ns = self._stamps_ns[-1] - self._stamps_ns[0] if self.frames > 1 else 0
        return (self.frames - 1) / (span_ns / 1e9) if span_ns > 0 else math.nan

    def drops(self) -> dict[str, int]:
        """Return frames encoded, lost on the way, dropped and rejected by the server, by its last report."""
        if self.last is None:
            return {"encoded": 0, "lost": 0, "dropped": 0, "rejected": 0}
        last = self.last
        return {
            "encoded": last.sequence + 1,
            "lost": last.lost,
            "dropped": last.dropped,
            "rejected": last.rejected,
        }

    def heads(self) -> dict[str, dict[str, Any]]:
        """Return metric, value and frames of each head that had a truth."""
        return {
            name: {"metric": one.name, "value": one.value(), "frames": one.frames}
            for name, one in self.accuracies.items()
        }


def percentiles(values: Iterable[float]) -> dict[str, float]:
    """Return the median and the 95th percentile of the finite values; NaN without any."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return {"p50": math.nan, "p95": math.nan}
    p50, p95 = np.percentile(finite, [50, 95])
    return {"p50": float(p50), "p95": float(p95)}


def _with_rest(cost: FrameCost) -> Mapping[str, float]:
    """Add what no known stage accounts for, and the whole."""
    known = sum(value for value in cost.stages_ms.values() if math.isfinite(value))
    rest = cost.latency_ms - known if cost.latency_ms >= known else math.nan
    return {**cost.stages_ms, REST: rest, TOTAL: cost.latency_ms}
