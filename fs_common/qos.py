# SPDX-License-Identifier: Apache-2.0
"""QoS profiles from parameters."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

RELIABILITY = {"best_effort": ReliabilityPolicy.BEST_EFFORT, "reliable": ReliabilityPolicy.RELIABLE}


AUTO = "auto"  # reliable where every publisher is: see fs_common.publishers


def keep_last(reliability: str, depth: int) -> QoSProfile:
    """Keep the last ``depth`` samples; ``reliability`` is ``best_effort`` or ``reliable``."""
    return QoSProfile(reliability=RELIABILITY[reliability], history=HistoryPolicy.KEEP_LAST, depth=depth)


def latched() -> QoSProfile:
    """Keep one sample for subscribers that come later (transient local)."""
    return QoSProfile(
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
        history=HistoryPolicy.KEEP_LAST,
        depth=1,
    )
