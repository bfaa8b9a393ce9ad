# SPDX-License-Identifier: Apache-2.0
"""Start the server node: `ros2 launch frankensplit server.launch.py device:=cuda`."""

from __future__ import annotations

from fs_common.launching import declare, start
from fs_server_node.launch_table import SERVER
from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    """Describe the server node and its arguments."""
    return LaunchDescription([*declare(SERVER.arguments()), start(SERVER)])
