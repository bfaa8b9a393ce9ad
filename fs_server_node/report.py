# SPDX-License-Identifier: Apache-2.0
"""What one frame cost, as fs_msgs/FrameReport."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builtin_interfaces.msg import Time

from fs_common.meter import Totals
from fs_common.times import elapsed_ms
from fs_msgs.msg import FrameReport

if TYPE_CHECKING:
    from frankensplit.inference.predictor import Prediction


def complete(report: FrameReport, prediction: Prediction, published: Time, totals: Totals) -> FrameReport:
    """Fill in what a frame's own report lacks; ``published`` (results) is a time of this machine."""
    report.entropy_ms = prediction.entropy_ms
    report.features_ms = prediction.features_ms
    report.heads = list(prediction.head_ms)
    report.head_ms = list(prediction.head_ms.values())
    report.latency_ms = elapsed_ms(report.header.stamp, published)
    report.received = totals.received
    report.lost = totals.lost
    report.dropped = totals.dropped
    report.rejected = totals.rejected
    return report
