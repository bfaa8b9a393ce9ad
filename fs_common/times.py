# SPDX-License-Identifier: Apache-2.0
"""Durations between ROS stamps."""

from __future__ import annotations

import math

from builtin_interfaces.msg import Time

LONGEST_MS = 3_600_000.0  # no frame is an hour on its way: its stamp is of another clock, or of a recording


def stamp_ns(stamp: Time) -> int:
    """Convert a stamp to nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def elapsed_ms(start: Time, end: Time) -> float:
    """Give the milliseconds between two stamps; NaN when the start is unset, after the end, or an hour before it."""
    elapsed = (stamp_ns(end) - stamp_ns(start)) / 1e6
    return elapsed if stamp_ns(start) and 0 <= elapsed < LONGEST_MS else math.nan
