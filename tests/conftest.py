# SPDX-License-Identifier: Apache-2.0
"""Settings for every test: a private ROS domain, the transport profile, and where data and bundles lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def _isolate_ros() -> None:
    """Keep tests apart from robots and from other test runs; set before anything imports rclpy."""
    os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 101)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    if os.environ.get("ROS_DISTRO") == "humble":
        os.environ["ROS_LOCALHOST_ONLY"] = "1"
    profiles = str(REPOSITORY / "config" / "fastdds.xml")
    os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] = profiles
    os.environ["FASTDDS_DEFAULT_PROFILES_FILE"] = profiles


_isolate_ros()


@pytest.fixture(scope="session")
def repository() -> Path:
    """Return the root of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Return the folder of the data sets, or skip: $FRANKENSPLIT_DATA, else ../shared/datasets."""
    root = Path(os.environ.get("FRANKENSPLIT_DATA", REPOSITORY.parent / "shared" / "datasets"))
    if not root.is_dir():
        pytest.skip(f"no data sets at {root}; set FRANKENSPLIT_DATA to their folder")
    return root


@pytest.fixture(scope="session")
def bundle_path() -> Path:
    """Return the bundle that comes with the repository."""
    return REPOSITORY / "bundles" / "street"
