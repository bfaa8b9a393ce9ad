# SPDX-License-Identifier: Apache-2.0
"""Measure a bundle on labelled scenes: unmodified backbone, our packets, and rivals at the same geometry.

Bytes are those on the wire: whole packets for ours, whole files for rivals. A rival codes the frame at the size at
which the network sees it (scaled, not padded); the unmodified backbone then sees the decoded frame.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frankensplit.bundle import Bundle
from frankensplit.data.scenes import Scene
from frankensplit.edge.encoder import FrameEncoder
from frankensplit.evaluation.metrics import HeadMetric, MeanIoU, metric_for
from frankensplit.evaluation.rivals import load_rival
from frankensplit.geometry import Geometry
from frankensplit.inference.predictor import Predictor
from frankensplit.models.heads import head_class
from frankensplit.results import Result

OURS, UNMODIFIED = "frankensplit", "unmodified"
Coded = tuple[int, dict[str, Result]]


@dataclass
class Row:
    """One codec at one quality: its bytes and one metric a head."""

    codec: str
    quality: int | None
    metrics: dict[str, HeadMetric]
    payload_bytes: list[int] = field(default_factory=list)


class Evaluation:
    """All rows of one evaluation, fed frame by frame.

    Args:
        bundle: the bundle to measure.
        rivals: names of rival codecs.
        device: torch device.
        threads: CPU threads; 0 leaves the defaults.
    """

    def __init__(self, bundle: Bundle, rivals: Iterable[str], device: str = "cpu", threads: int = 0) -> None:
        self.bundle = bundle
        self.predictor = Predictor(bundle, device, threads)
        self.encoder = FrameEncoder(bundle.codec, threads=threads or 1)
        self.rivals = {name: load_rival(name) for name in rivals}
        self.pixels: list[int] = []
        settings = [(name, quality) for name, rival in self.rivals.items() for quality in rival.QUALITIES]
        self.unmodified = self._row(UNMODIFIED, None)
        self.rows = [self._row(OURS, 0), *(self._row(name, quality) for name, quality in settings)]

    def add(self, scene: Scene) -> None:
        """Measure all rows on one scene."""
        geometry = self.bundle.codec.geometry(*scene.rgb.shape[:2])
        prepared = geometry.prepare(scene.rgb)
        self.pixels.append(geometry.scaled_height * geometry.scaled_width)
        truths = self._truths(scene.mask)
        unmodified = self.predictor.predict_prepared(prepared, geometry)
        _update(self.unmodified, 0, unmodified.results, truths)
        for row in self.rows:
            size, results = self._ours(scene) if row.codec == OURS else self._rival(row, prepared, geometry)
            _update(row, size, results, truths)

    def result(self, data: str) -> dict[str, Any]:
        """Return the figures so far, as JSON values."""
        heads = {name: self._head_result(name) for name in self.predictor.heads}
        return {"bundle": self.bundle.name, "data": data, "frames": len(self.pixels), "heads": heads}

    def _ours(self, scene: Scene) -> Coded:
        packet = self.encoder.encode(scene.rgb).data
        return len(packet), self.predictor.predict(packet).results

    def _rival(self, row: Row, prepared: NDArray[np.uint8], geometry: Geometry) -> Coded:
        height, width = geometry.scaled_height, geometry.scaled_width
        assert row.quality is not None
        frame = np.ascontiguousarray(prepared[:height, :width])
        size, decoded = self.rivals[row.codec].code(frame, row.quality)
        padded = Geometry(height, width, height, width, geometry.multiple).prepare(decoded)
        return size, self.predictor.predict_prepared(padded, geometry).results

    def _truths(self, mask: NDArray[np.uint8]) -> dict[str, Result]:
        return {name: head_class(name).truth(mask, self.bundle.labels[name]) for name in self.predictor.heads}

    def _row(self, codec: str, quality: int | None) -> Row:
        heads = self.predictor.heads.items()
        return Row(
            codec, quality, {name: metric_for(info.kind, self.bundle.labels[name]) for name, info in heads}
        )

    def _head_result(self, head: str) -> dict[str, Any]:
        unmodified = self.unmodified.metrics[head]
        value = unmodified.value()
        result: dict[str, Any] = {"metric": unmodified.name, "unmodified": round(value, 3)}
        if isinstance(unmodified, MeanIoU):
            per_class = zip(self.predictor.heads[head].classes, unmodified.per_class(), strict=True)
            result["unmodified_per_class"] = {name: round(iou, 2) for name, iou in per_class}
        rows = [self._row_result(row, head, value) for row in self.rows]
        loss = rows[0]["loss_points"]
        result["bytes_at_our_loss"] = {name: bytes_at_loss(rows, name, loss) for name in self.rivals}
        return result | {"rows": rows}

    def _row_result(self, row: Row, head: str, unmodified: float) -> dict[str, Any]:
        value = row.metrics[head].value()
        return {
            "codec": row.codec,
            "quality": row.quality,
            "bytes_per_frame": round(float(np.mean(row.payload_bytes)), 1),
            "bpp": round(8 * sum(row.payload_bytes) / sum(self.pixels), 5),
            "value": round(value, 3),
            "loss_points": round(unmodified - value, 3),
        }


def bytes_at_loss(rows: list[dict[str, Any]], codec: str, loss_points: float) -> float | None:
    """Return the fewest bytes a frame with which a codec loses no more than this; None where no setting does.

    By interpolation in log bytes between the cheapest such setting and the next cheaper one, which is the kindest
    reading of a noisy curve; the cheapest setting of all counts as it is.
    """
    points = sorted((row["bytes_per_frame"], row["loss_points"]) for row in rows if row["codec"] == codec)
    enough = next((i for i, (_, loss) in enumerate(points) if loss <= loss_points), None)
    if not enough:
        return None if enough is None else float(points[0][0])
    (bytes_a, loss_a), (bytes_b, loss_b) = points[enough - 1 : enough + 1]
    share = (loss_a - loss_points) / (loss_a - loss_b)
    return round(float(np.exp(np.log(bytes_a) + share * (np.log(bytes_b) - np.log(bytes_a)))), 1)


def _update(row: Row, size: int, results: dict[str, Result], truths: dict[str, Result]) -> None:
    row.payload_bytes.append(size)
    for head, result in results.items():
        row.metrics[head].update(result, truths[head])
