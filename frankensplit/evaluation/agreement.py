# SPDX-License-Identifier: Apache-2.0
"""How near a bundle's packets come to its unmodified backbone on frames without labels: features, and each head."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from frankensplit.data.frames import LabelledFrame
from frankensplit.edge.encoder import FrameEncoder
from frankensplit.errors import DataError
from frankensplit.evaluation.bootstrap import loss_interval
from frankensplit.evaluation.measure import as_truth
from frankensplit.evaluation.metrics import HeadMetric, Statistics, metric_for
from frankensplit.inference.predictor import Predictor


class Agreement(NamedTuple):
    """Over some frames: mean error of the shallow features, mean bytes of a packet, what each head's metric counts."""

    frames: int
    distortion: float
    bytes_per_frame: float
    metrics: dict[str, HeadMetric]
    statistics: dict[str, list[Statistics]]  # each head's, one per frame

    @property
    def heads(self) -> dict[str, float]:
        """Agreement of each head, 0 to 100."""
        return {name: metric.value(self.statistics[name]) for name, metric in self.metrics.items()}

    def gains(self, before: Agreement) -> dict[str, tuple[float, float]]:
        """Return the 95 % interval of the points that each head gained since ``before``, on the same frames."""
        lost = {
            name: loss_interval(metric, before.statistics[name], self.statistics[name])
            for name, metric in self.metrics.items()
        }
        return {name: (-high, -low) for name, (low, high) in lost.items()}


def agreement(
    predictor: Predictor,
    encoder: FrameEncoder,
    channel_weights: NDArray[np.float32],
    frames: Iterable[LabelledFrame],
    levels: Sequence[int] = (0,),
) -> list[Agreement]:
    """Measure quality levels by real packets; what the unmodified backbone predicts is taken as the truth.

    Args:
        predictor: the bundle's networks.
        encoder: of the same codec.
        channel_weights: float32 ``(C,)``, what a squared error in each shallow channel counts.
        frames: the frames; their own truth is not used.
        levels: which are measured; the unmodified backbone sees each frame once for all of them.

    Returns:
        One for each level.

    Raises:
        DataError: there is no frame.
    """
    labels = predictor.bundle.labels
    metrics = {name: metric_for(head.kind, labels[name]) for name, head in predictor.heads.items()}
    statistics: list[dict[str, list[Statistics]]] = [{name: [] for name in metrics} for _ in levels]
    errors: list[list[float]] = [[] for _ in levels]
    sizes: list[list[int]] = [[] for _ in levels]
    for frame in frames:
        geometry = predictor.codec.geometry(*frame.rgb.shape[:2])
        wanted = predictor.shallow(geometry.prepare(frame.rgb))
        truth = {
            name: as_truth(result, predictor.heads[name].threshold)
            for name, result in predictor.predict_shallow(wanted, geometry).results.items()
        }
        for place, level in enumerate(levels):
            data = encoder.encode(frame.rgb, level).data
            found = predictor.restore(predictor.codec.unpack(data)[0])
            sizes[place].append(len(data))
            errors[place].append(float((((found - wanted) ** 2).mean((1, 2)) * channel_weights).mean()))
            for name, result in predictor.predict_shallow(found, geometry).results.items():
                statistics[place][name].append(metrics[name].frame(result, truth[name]))
    if not sizes[0]:
        raise DataError("no frame to measure on can be used: give frames that can be read")
    return [
        Agreement(len(size), float(np.mean(error)), float(np.mean(size)), metrics, statistic)
        for size, error, statistic in zip(sizes, errors, statistics, strict=True)
    ]
