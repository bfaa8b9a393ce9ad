# SPDX-License-Identifier: Apache-2.0
"""Start the edge node: `ros2 launch frankensplit edge.launch.py image_topic:=/camera/image_raw`."""

from __future__ import annotations

from fs_common.launching import declare, driver_profile, start
from fs_edge_node.launch_table import EDGE
from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    """Describe the edge node and its arguments."""
    return LaunchDescription([*declare(EDGE.arguments()), *driver_profile(), start(EDGE)])
