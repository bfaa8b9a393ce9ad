# SPDX-License-Identifier: Apache-2.0
"""What rclpy and rcl say is wrong, for users: on one line, without the places in their own source."""

from __future__ import annotations

import re

_PLACE = re.compile(r",? at \S+:\d+")


def cause_of(error: BaseException) -> str:
    """Return the text of an error of ROS; what follows a line's end is a picture of the place."""
    lines = [line.strip() for line in _PLACE.sub("", str(error)).splitlines() if set(line) - set(" ^")]
    return " ".join(lines) or type(error).__name__
