# SPDX-License-Identifier: Apache-2.0
"""Tell what this machine offers the set-up: where ROS 2 comes from, and what is missing.

``host.py ros`` prints ``sourced`` when a ROS 2 is sourced in this shell and ``wheels`` otherwise.
``host.py check wheels|sourced`` exits 1 with the command that installs what is missing. Standard library only.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

VENV = Path(__file__).resolve().parents[1] / ".venv"
WHEEL_PYTHONS = ((3, 11), (3, 12))


def ros_origin() -> str:
    """Return ``sourced`` when rclpy comes from a sourced ROS 2, not from our own environment."""
    rclpy = importlib.util.find_spec("rclpy")
    outside = rclpy is not None and VENV not in Path(str(rclpy.origin)).resolve().parents
    return "sourced" if outside and os.environ.get("AMENT_PREFIX_PATH") else "wheels"


def missing_from_host() -> Iterator[str]:
    """Yield a line for each thing that the interface packages cannot be built without."""
    for tool, package in (("cmake", "cmake"), ("gcc", "build-essential"), ("g++", "build-essential")):
        if shutil.which(tool) is None:
            yield f"no {tool} found: sudo apt install {package}"
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        yield f"no Python headers of {sys.executable} found: sudo apt install python3-dev"
    if importlib.util.find_spec("ensurepip") is None:
        yield "no ensurepip module found: sudo apt install python3-venv"


def missing_for_wheels() -> Iterator[str]:
    """Yield a line for each reason why the ROS 2 wheels cannot serve here."""
    found = f"{platform.machine()} with Python {platform.python_version()}"
    if platform.machine() != "x86_64" or sys.version_info[:2] not in WHEEL_PYTHONS:
        yield (
            f"ROS 2 wheels exist for x86_64 with Python 3.11 and 3.12, this is {found}: "
            "source a ROS 2 installation first, or name another interpreter (make setup PYTHON=python3.12)"
        )


def missing_for_sourced() -> Iterator[str]:
    """Yield a line for each ROS package that is ours to ask for."""
    distro = os.environ.get("ROS_DISTRO", "<distro>")
    if importlib.util.find_spec("vision_msgs") is None:
        yield f"no vision_msgs found: sudo apt install ros-{distro}-vision-msgs"
    if shutil.which("colcon") is None:
        yield "no colcon found: sudo apt install python3-colcon-common-extensions"


def main() -> int:
    if sys.argv[1:] == ["ros"]:
        print(ros_origin())
        return 0
    missing = list(missing_from_host())
    missing += missing_for_sourced() if sys.argv[2] == "sourced" else missing_for_wheels()
    print("\n".join(missing), end="\n" if missing else "", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
