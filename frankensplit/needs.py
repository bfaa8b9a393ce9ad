# SPDX-License-Identifier: Apache-2.0
"""The packages that an edge node, a server, the demo, its viewers and a training need, and what brings each."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Installer(NamedTuple):
    """A command, and what it is to be given for one package."""

    command: str
    name: str = ""


def _apt(name: str) -> Installer:
    return Installer("sudo apt install", f"ros-{os.environ.get('ROS_DISTRO', 'DISTRO')}-{name}")


def _pip(*names: str) -> dict[str, Installer]:
    return {name.replace("-", "_"): Installer("pip install", name) for name in names}


_PYTHON = dict.fromkeys(
    ("numpy", "cv2", "yaml"), Installer("rosdep install --from-paths src --ignore-src -y")
)
_ROS = {
    "rclpy": Installer("source /opt/ros/DISTRO/setup.bash"),
    "fs_msgs": Installer("colcon build, then source install/setup.bash"),
    "sensor_msgs": _apt("sensor-msgs"),
    "diagnostic_msgs": _apt("diagnostic-msgs"),
}
_NETWORKS = _pip("torch", "timm", "safetensors")
_SERVER = {**_ROS, **_PYTHON, "vision_msgs": _apt("vision-msgs"), **_NETWORKS}
PARTS = ("edge", "server", "train")
NEEDS: Mapping[str, Mapping[str, Installer]] = {
    "edge": {**_ROS, **_PYTHON},  # and one runtime of several
    "server": _SERVER,
    "demo": {**_SERVER, **_pip("av", "rosbags", "torchmetrics")},
    "rviz": {"rviz2": _apt("rviz2")},
    "foxglove": {"foxglove_bridge": _apt("foxglove-bridge")},
    "train": {
        **_PYTHON,
        **_NETWORKS,
        **_pip("torchvision", "lightning-fabric", "pydantic", "onnx", "scipy", "matplotlib", "tensorboardX"),
        "compressai": Installer("pip install --no-deps", "compressai"),
    },
}


def missing(part: str) -> list[str]:
    """Return the packages of a part that are not installed; none is imported."""
    return [name for name in NEEDS[part] if importlib.util.find_spec(name) is None]


def brought_by(part: str, names: Iterable[str]) -> str:
    """Return the commands that bring packages of a part; one command brings what it can at once."""
    commands: dict[str, list[str]] = {}
    for name in names:
        command, given = NEEDS[part][name]
        commands.setdefault(command, []).append(given)
    return "; ".join(" ".join([command, *filter(None, given)]) for command, given in commands.items())
