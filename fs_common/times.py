# SPDX-License-Identifier: Apache-2.0
"""Durations between ROS stamps."""

from __future__ import annotations

import math

from builtin_interfaces.msg import Time


def stamp_ns(stamp: Time) -> int:
    """Convert a stamp to nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def elapsed_ms(start: Time, end: Time) -> float:
    """Give the milliseconds between two stamps; NaN when the start is unset or after the end."""
    elapsed_ns = stamp_ns(end) - stamp_ns(start)
    return elapsed_ns / 1e6 if stamp_ns(start) and elapsed_ns >= 0 else math.nan
