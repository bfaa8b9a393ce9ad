# SPDX-License-Identifier: Apache-2.0
"""ROS 2 may be missing; what is set or installed and does not work is a fault."""

from __future__ import annotations

import pytest

from frankensplit.doctor import FAULT, NOTE, OK
from frankensplit.doctor.checks import ros

WORKS = ("works", "")


def test_a_machine_without_ros_has_no_fault(made_up):
    found = made_up.find(ros.check)
    assert {finding.level for finding in found.values()} == {OK, NOTE}
    assert "no nodes here" in found["rclpy"].text


def test_a_robot_is_fine(made_up):
    made_up.packages |= {"rclpy": WORKS, "fs_msgs.msg": WORKS, "cv_bridge": WORKS}
    made_up.environ |= {
        "ROS_DISTRO": "humble",
        "ROS_DOMAIN_ID": "7",
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET",
    }
    assert {finding.level for finding in made_up.find(ros.check).values()} == {OK}


@pytest.mark.parametrize(
    ("environ", "package", "text"),
    [
        ({}, ("broken", "ImportError: _rclpy_pybind11"), "_rclpy_pybind11"),
        ({"ROS_DISTRO": "jazzy"}, None, "jazzy"),
    ],
)
def test_a_ros_that_this_python_cannot_use_is_a_fault(made_up, environ, package, text):
    made_up.environ |= environ
    if package:
        made_up.packages["rclpy"] = package
    finding = made_up.find(ros.check)["rclpy"]
    assert finding.level == FAULT
    assert text in finding.text


@pytest.mark.parametrize(
    ("package", "level"),
    [
        (("absent", ""), NOTE),
        (("broken", "ModuleNotFoundError: No module named 'fs_msgs'"), NOTE),
        (("broken", "ImportError: libfs_msgs.so"), FAULT),
    ],
)
def test_messages_that_are_not_built(made_up, package, level):
    made_up.packages |= {"rclpy": WORKS, "fs_msgs.msg": package}
    assert made_up.find(ros.check)["fs_msgs"].level == level


@pytest.mark.parametrize(("prefix", "level"), [("/opt/ros/jazzy", OK), ("/opt/ros/humble", FAULT)])
def test_a_middleware_that_is_not_installed_is_a_fault(made_up, prefix, level):
    made_up.write("/opt/ros/jazzy/lib/librmw_cyclonedds_cpp.so", "")
    made_up.environ |= {
        "ROS_DISTRO": "jazzy",
        "RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp",
        "AMENT_PREFIX_PATH": f"/overlay:{prefix}",
    }
    finding = made_up.find(ros.check)["RMW"]
    assert finding.level == level
    assert level == OK or "ros-jazzy-rmw-cyclonedds-cpp" in finding.remedy


def test_zenoh_wants_a_router(made_up):
    made_up.write("/opt/ros/lyrical/lib/librmw_zenoh_cpp.so", "")
    made_up.environ |= {"RMW_IMPLEMENTATION": "rmw_zenoh_cpp", "AMENT_PREFIX_PATH": "/opt/ros/lyrical"}
    finding = made_up.find(ros.check)["RMW"]
    assert (finding.level, "rmw_zenohd" in finding.remedy) == (NOTE, True)


@pytest.mark.parametrize(
    ("environ", "level"),
    [
        ({}, OK),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "subnet"}, OK),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}, NOTE),
        ({"ROS_LOCALHOST_ONLY": "1"}, NOTE),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "HOUSE"}, FAULT),
    ],
)
def test_discovery(made_up, environ, level):
    made_up.environ |= environ
    assert made_up.find(ros.check)["discovery"].level == level


@pytest.mark.parametrize(
    ("domain", "level"),
    [("", OK), ("101", OK), ("102", NOTE), ("233", FAULT), ("-1", FAULT), ("robot", FAULT)],
)
def test_domain(made_up, domain, level):
    made_up.environ["ROS_DOMAIN_ID"] = domain
    assert made_up.find(ros.check)["domain"].level == level


def test_a_broken_cv_bridge_does_no_harm(made_up):
    made_up.packages["cv_bridge"] = ("broken", "ImportError: numpy.core.multiarray failed to import")
    finding = made_up.find(ros.check)["cv_bridge"]
    assert (finding.level, "NumPy 2" in finding.remedy) == (NOTE, True)
