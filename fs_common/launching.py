# SPDX-License-Identifier: Apache-2.0
"""Turn the launch tables into launch entities; imported by launch files only."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ament_index_python.packages import (
    PackageNotFoundError,
    get_package_prefix,
    get_package_share_directory,
)
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from frankensplit.errors import RuntimeUnavailable
from frankensplit.needs import brought_by
from fs_common.launch_environment import driver_advice, profile_environment
from fs_common.node_launch import PACKAGE, Argument, NodeLaunch, existing
from fs_common.parameters import to_plain
from launch import Action, LaunchContext

RESPAWN_S = 2.0


def declare(arguments: Iterable[Argument]) -> list[DeclareLaunchArgument]:
    """Declare arguments, each name once."""
    by_name = {argument.name: argument for argument in arguments}
    return [
        DeclareLaunchArgument(
            one.name,
            default_value=one.default,
            description=one.description,
            choices=list(one.choices) or None,
        )
        for one in by_name.values()
    ]


def start(
    node: NodeLaunch, params_file: str = "params_file", on_exit: list[Action] | None = None
) -> OpaqueFunction:
    """Start a node with every argument that was given; ``params_file`` names that of its parameter file."""
    return OpaqueFunction(function=lambda context: [_node(context, node, params_file, on_exit)])


def driver_profile() -> list[LogInfo]:
    """Say what the process of a camera driver needs."""
    return [LogInfo(msg=text) for text in driver_advice()]


def require_package(part: str, package: str) -> None:
    """Refuse to go on without a package of another project; ``part`` is a key of ``frankensplit.needs.NEEDS``.

    Raises:
        RuntimeUnavailable: it is not installed.
    """
    try:
        get_package_prefix(package)
    except PackageNotFoundError as error:
        raise RuntimeUnavailable(
            f"{part} needs the package {package}, which is not installed: {brought_by(part, [package])}"
        ) from error


def _node(context: LaunchContext, node: NodeLaunch, params_file: str, on_exit: list[Action] | None) -> Node:
    names = [argument.name for argument in node.arguments(params_file)]
    values = {name: LaunchConfiguration(name).perform(context) for name in names}
    file = existing(params_file, values[params_file] or str(installed(node.config_file)))
    parameters = {name: to_plain(value) for name, value in node.parameters(values).items()}
    return Node(
        package=PACKAGE,
        executable=node.executable,
        name=node.executable,
        namespace=values["namespace"],
        parameters=[file, parameters],
        remappings=node.remappings(values),
        ros_arguments=["--log-level", values["log_level"]],
        additional_env=_profile(values["dds_profile"], node.dds_profile),
        on_exit=on_exit,
        respawn=values["respawn"] == "true",
        respawn_delay=RESPAWN_S,
        output="screen",
        emulate_tty=True,
    )


def _profile(dds_profile: str, own: str) -> dict[str, str]:
    if dds_profile == "none":
        return {}
    return profile_environment(Path(dds_profile) if dds_profile else installed(own))


def installed(config_file: str) -> Path:
    """Give the path of a file in the installed ``config/``."""
    return Path(get_package_share_directory(PACKAGE)) / "config" / config_file
