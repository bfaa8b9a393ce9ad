# SPDX-License-Identifier: Apache-2.0
"""ROS 2: distribution, packages, middleware, and which machines it finds."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from frankensplit.doctor.finding import Finding, fault, note, ok
from frankensplit.doctor.machine import Machine

TITLE = "ROS 2"
ORDER = 40
FOR = ("edge", "server")
DEFAULT_RMW, ZENOH = "rmw_fastrtps_cpp", "rmw_zenoh_cpp"
RANGES = ("SUBNET", "LOCALHOST", "OFF", "SYSTEM_DEFAULT")
# Above 101 a domain's ports lie in the range from which Linux takes ports of ordinary connections.
LARGEST_DOMAIN, SAFE_DOMAIN = 232, 101


def check(machine: Machine) -> Iterator[Finding]:
    """Say whether nodes can run here, and with what."""
    rclpy = machine.imports("rclpy")
    yield _rclpy(machine, rclpy.state, rclpy.text)
    if rclpy.state == "works":
        yield _messages(machine)
    yield _middleware(machine)
    yield _discovery(machine)
    yield _domain(machine)
    yield _cv_bridge(machine)


def _rclpy(machine: Machine, state: str, text: str) -> Finding:
    distro = machine.environ.get("ROS_DISTRO")
    if state == "works":
        return ok(
            "rclpy", f"works, ROS 2 {distro}" if distro else "works, from Python packages (no ROS_DISTRO)"
        )
    if state == "broken":
        remedy = (
            f"source ROS 2 in a new shell, and start with the Python that it is for (here {sys.version[:4]})"
        )
        return fault("rclpy", f"is installed and cannot be imported: {text}", remedy)
    if distro:
        remedy = "use the system's Python, or a virtual environment made from it with --system-site-packages"
        return fault("rclpy", f"ROS 2 {distro} is sourced, and this Python does not see it", remedy)
    return note("rclpy", "not installed: no nodes here, all else works", "source /opt/ros/DISTRO/setup.bash")


def _messages(machine: Machine) -> Finding:
    found = machine.imports("fs_msgs.msg")
    if found.state == "works":
        return ok("fs_msgs", "works")
    remedy = "colcon build, then source install/setup.bash; or make setup"
    if found.state == "absent" or "No module named 'fs_msgs'" in found.text:
        return note("fs_msgs", "not built: the nodes cannot start", remedy)
    return fault("fs_msgs", f"cannot be imported: {found.text}", remedy)


def middleware(machine: Machine) -> str:
    """Return the name of the RMW implementation."""
    return machine.environ.get("RMW_IMPLEMENTATION") or DEFAULT_RMW


def _middleware(machine: Machine) -> Finding:
    name = middleware(machine)
    if not machine.environ.get("RMW_IMPLEMENTATION"):
        return ok("RMW", f"{name}, the default")
    prefixes = [sys.prefix, *machine.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)]
    folders = [Path(prefix) / "lib" for prefix in prefixes if prefix]
    if any(machine.path(folder / f"lib{name}.so").exists() for folder in folders):
        if name == ZENOH:
            router = f"on each machine, before the nodes: ros2 run {ZENOH} rmw_zenohd"
            return note("RMW", f"{name}: nodes find each other by a router", router)
        return ok("RMW", name)
    distro = machine.environ.get("ROS_DISTRO", "DISTRO")
    remedy = f"sudo apt install ros-{distro}-{name.replace('_', '-')}, or unset RMW_IMPLEMENTATION"
    return fault("RMW", f"RMW_IMPLEMENTATION is {name}, and no lib{name}.so is installed", remedy)


def _discovery(machine: Machine) -> Finding:
    name = "ROS_AUTOMATIC_DISCOVERY_RANGE"
    value = machine.environ.get(name)
    if machine.environ.get("ROS_LOCALHOST_ONLY") == "1":
        return note(
            "discovery", "ROS_LOCALHOST_ONLY is 1: other machines are not found", "unset it for two machines"
        )
    if not value:
        return ok("discovery", f"{name} is not set: the subnet")
    if value.upper() not in RANGES:
        return fault("discovery", f"{name} is {value!r}", f"set it to one of {', '.join(RANGES)}")
    if value.upper() in ("LOCALHOST", "OFF"):
        remedy = f"for robot and server on two machines: export {name}=SUBNET"
        return note("discovery", f"{name} is {value}: other machines are not found", remedy)
    return ok("discovery", f"{name} is {value}")


def _domain(machine: Machine) -> Finding:
    value = machine.environ.get("ROS_DOMAIN_ID") or "0"
    if not value.isdigit() or int(value) > LARGEST_DOMAIN:
        remedy = f"export ROS_DOMAIN_ID=N with N from 0 to {SAFE_DOMAIN}, the same on both machines"
        return fault("domain", f"ROS_DOMAIN_ID is {value!r}, expected 0 to {LARGEST_DOMAIN}", remedy)
    if int(value) > SAFE_DOMAIN:
        return note(
            "domain",
            f"ROS_DOMAIN_ID is {value}: its ports may be taken by other connections",
            f"take one of 0 to {SAFE_DOMAIN}",
        )
    return ok("domain", value)


def _cv_bridge(machine: Machine) -> Finding:
    found = machine.imports("cv_bridge")
    if found.state == "works":
        return ok("cv_bridge", "works")
    builtin = "the edge node's own conversion is used, with the same result"
    if found.state == "absent":
        return ok("cv_bridge", f"not installed: {builtin}")
    remedy = (
        "often NumPy 2 beside a cv_bridge built for NumPy 1; harmless while the parameter converter is auto"
    )
    return note("cv_bridge", f"cannot be imported ({found.text}): {builtin}", remedy)
