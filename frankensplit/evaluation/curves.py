# SPDX-License-Identifier: Apache-2.0
"""Compare codecs along their curves of value against bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Row = dict[str, Any]  # one row of an evaluation: bytes_per_frame, value, loss_points, ...
MIN_POINTS = 4  # fewer make no curve


def bytes_at_loss(rows: Sequence[Row], loss_points: float) -> float | None:
    """Return the fewest bytes a frame with which a codec loses no more than this; None where no setting does.

    By interpolation in log bytes between the cheapest such setting and the next cheaper one, which is the kindest
    reading of a noisy curve; the cheapest setting of all counts as it is.
    """
    points = sorted((row["bytes_per_frame"], row["loss_points"]) for row in rows)
    enough = next((i for i, (_, loss) in enumerate(points) if loss <= loss_points), None)
    if not enough:
        return None if enough is None else float(points[0][0])
    (bytes_a, loss_a), (bytes_b, loss_b) = points[enough - 1 : enough + 1]
    share = (loss_a - loss_points) / (loss_a - loss_b)
    return round(float(np.exp(np.log(bytes_a) + share * (np.log(bytes_b) - np.log(bytes_a)))), 1)


def bd_rate_percent(anchor: Sequence[Row], test: Sequence[Row]) -> float | None:
    """Return the mean difference of bytes at equal value (Bjontegaard), negative where ``test`` needs fewer.

    Over the part of the curves that more bytes make better. None where one of them has fewer than four such points,
    or where the values that both reach do not overlap.
    """
    curves = [_rising(anchor), _rising(test)]
    if min(len(curve) for curve in curves) < MIN_POINTS:
        return None
    low, high = (max(curve[0][1] for curve in curves), min(curve[-1][1] for curve in curves))
    if low >= high:
        return None
    from bjontegaard import bd_rate

    (anchor_bytes, anchor_values), (test_bytes, test_values) = (np.transpose(curve) for curve in curves)
    rate = bd_rate(
        anchor_bytes,
        anchor_values,
        test_bytes,
        test_values,
        method="pchip",
        require_matching_points=False,
        min_overlap=0,
    )
    return round(float(rate), 1)


def _rising(rows: Sequence[Row]) -> list[tuple[float, float]]:
    """Return (bytes, value) of the settings that no cheaper setting equals, cheapest first."""
    curve: list[tuple[float, float]] = []
    for payload_bytes, value in sorted((row["bytes_per_frame"], row["value"]) for row in rows):
        if not curve or value > curve[-1][1]:
            curve.append((payload_bytes, value))
    return curve
