# SPDX-License-Identifier: Apache-2.0
"""Start camera, edge and server on one machine: `ros2 launch frankensplit demo.launch.py source:=clip.mp4`.

An argument that several nodes know reaches each of them. The camera begins as soon as somebody looks: `viewer:=rviz`,
`viewer:=foxglove`, or any image viewer on `overlay`.
"""

from __future__ import annotations

from dataclasses import replace

from launch.actions import LogInfo, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from fs_common.launching import declare, installed, require_package, start
from fs_common.node_launch import Argument
from fs_demo.launch_table import CAMERA
from fs_demo.viewers import NONE, VIEWER, VIEWERS
from fs_edge_node.launch_table import EDGE
from fs_server_node.launch_table import SERVER
from launch import Action, LaunchContext, LaunchDescription

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
    return [VIEWER, *joined.values()]


def show(context: LaunchContext) -> list[Action]:
    """Start the viewer that was asked for, and say how to use it."""
    name, namespace = (LaunchConfiguration(one).perform(context) for one in (VIEWER.name, "namespace"))
    if name == NONE:
        return []
    viewer = VIEWERS[name]
    require_package(name, viewer.package)
    file = installed(viewer.file)
    return [
        LogInfo(msg=viewer.advice.format(file=file)),
        Node(
            package=viewer.package,
            executable=viewer.executable,
            namespace=namespace,
            arguments=[one.format(file=file) for one in viewer.arguments],
            output="screen",
        ),
    ]


def generate_launch_description() -> LaunchDescription:
    """Describe viewer and nodes; the end of the camera's source ends them all."""
    server, edge = start(SERVER, FILES[SERVER]), start(EDGE, FILES[EDGE])
    camera = start(CAMERA, FILES[CAMERA], on_exit=[Shutdown(reason="the camera has no more frames")])
    # The viewer is first: where it is missing, nothing is started.
    viewer = OpaqueFunction(function=show)
    return LaunchDescription([*declare(demo_arguments()), viewer, server, edge, camera])
