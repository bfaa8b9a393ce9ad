# SPDX-License-Identifier: Apache-2.0
"""What one frame cost, as fs_msgs/FrameReport."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builtin_interfaces.msg import Time

from fs_common.meter import Totals
from fs_common.times import elapsed_ms
from fs_msgs.msg import CompressedLatent, FrameReport

if TYPE_CHECKING:
    from frankensplit.inference.predictor import Prediction


def frame_report(
    latent: CompressedLatent, received: Time, prediction: Prediction, published: Time, totals: Totals
) -> FrameReport:
    """Fill every field; ``received`` (latent) and ``published`` (results) are times of this machine."""
    return FrameReport(
        header=latent.header,
        sequence=latent.sequence,
        packet_bytes=len(latent.data),
        edge_preprocess_ms=latent.preprocess_ms,
        edge_encode_ms=latent.encode_ms,
        edge_entropy_ms=latent.entropy_ms,
        transit_ms=_transit_ms(latent, received),
        entropy_ms=prediction.entropy_ms,
        features_ms=prediction.features_ms,
        heads=list(prediction.head_ms),
        head_ms=list(prediction.head_ms.values()),
        latency_ms=elapsed_ms(latent.header.stamp, published),
        received=totals.received,
        lost=totals.lost,
        dropped=totals.dropped,
        rejected=totals.rejected,
    )


def _transit_ms(latent: CompressedLatent, received: Time) -> float:
    """Give arrival here minus the end of the edge's work; NaN where the clocks disagree."""
    edge_ms = latent.preprocess_ms + latent.encode_ms + latent.entropy_ms
    transit_ms = elapsed_ms(latent.received, received) - edge_ms
    return transit_ms if transit_ms >= 0 else float("nan")
