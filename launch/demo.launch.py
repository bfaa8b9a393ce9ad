# SPDX-License-Identifier: Apache-2.0
"""Start camera, edge and server on one machine: `ros2 launch frankensplit demo.launch.py source:=clip.mp4`.

An argument that several nodes know reaches each of them. The camera begins as soon as somebody looks: any image viewer
on `overlay` will do.
"""

from __future__ import annotations

from dataclasses import replace

from launch.actions import Shutdown

from fs_common.launching import declare, start
from fs_common.node_launch import Argument
from fs_demo.launch_table import CAMERA
from fs_edge_node.launch_table import EDGE
from fs_server_node.launch_table import SERVER
from launch import LaunchDescription

FILES = {EDGE: "edge_params_file", SERVER: "server_params_file", CAMERA: "camera_params_file"}
# The picture is on this machine, so the overlay may use it. The camera begins when somebody looks at a result.
DEFAULTS = {"overlay_image": "image", "patience_s": "0"}


def demo_arguments() -> list[Argument]:
    """Join the arguments of the three nodes; the first node that knows a name describes it."""
    joined: dict[str, Argument] = {}
    for node, file in FILES.items():
        for argument in node.arguments(file):
            default = DEFAULTS.get(argument.name, argument.default)
            joined.setdefault(argument.name, replace(argument, default=default))
    return list(joined.values())


def generate_launch_description() -> LaunchDescription:
    """Describe the three nodes; the end of the camera's source ends them all."""
    server, edge = start(SERVER, FILES[SERVER]), start(EDGE, FILES[EDGE])
    camera = start(CAMERA, FILES[CAMERA], on_exit=[Shutdown(reason="the camera has no more frames")])
    return LaunchDescription([*declare(demo_arguments()), server, edge, camera])
