# SPDX-License-Identifier: Apache-2.0
"""Settings for every test: a private ROS domain, the transport profile, its kind, where data and bundles lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from kinds_of_tests import is_left_out, kind_of

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


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out files and folders where nothing is of the one kind that ``-m`` asks for."""
    return is_left_out(collection_path, config.getoption("markexpr")) or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its kind."""
    for item in items:
        item.add_marker(kind_of(item.path))


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
