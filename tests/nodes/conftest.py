# SPDX-License-Identifier: Apache-2.0
"""A private corner of the ROS graph for tests that run real nodes over real DDS."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2: run `make setup`, or source a ROS installation")
pytest.importorskip("fs_msgs.msg", reason="fs_msgs is not built: run `make setup` or colcon build")

import rclpy
from node_process import ROOT, NodeProcess
from observer import Observer
from rclpy.context import Context
from tiny_codec import write_codec

from frankensplit.fast_dds import PROFILE_VARIABLES
from fs_common.node_launch import NodeLaunch

Start = Callable[..., NodeProcess]


@pytest.fixture(scope="session", autouse=True)
def private_graph() -> Iterator[None]:
    """Stay on this machine, on a domain of this test run, with the project's Fast DDS profile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        patch.setenv("ROS_DOMAIN_ID", os.environ.get("ROS_DOMAIN_ID", str(1 + os.getpid() % 100)))
        for name in PROFILE_VARIABLES:
            patch.setenv(name, str(ROOT / "config" / "fastdds.xml"))
        yield


@pytest.fixture(scope="session")
def ros_context(private_graph: None) -> Iterator[Context]:
    """Give a context that no signal handler belongs to."""
    context = Context()
    rclpy.init(context=context)
    yield context
    rclpy.shutdown(context=context)


@pytest.fixture
def observer(ros_context: Context) -> Iterator[Observer]:
    """Give a fresh participant."""
    made = Observer(ros_context)
    yield made
    made.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start nodes that end with the test."""
    yield from _starter(tmp_path)


@pytest.fixture(scope="module")
def start_for_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start nodes that end with the module."""
    yield from _starter(tmp_path_factory.mktemp("logs"))


def _starter(folder: Path) -> Iterator[Start]:
    started: list[NodeProcess] = []

    def begin(node: NodeLaunch, **values: str) -> NodeProcess:
        started.append(NodeProcess(node, folder / f"{len(started)}-{node.executable}.log", **values))
        return started[-1]

    yield begin
    for process in started:
        process.kill()


@pytest.fixture(scope="session")
def tiny_codec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a codec that works without training."""
    return write_codec(tmp_path_factory.mktemp("robot") / "codec", nominal_height=96, nominal_width=128)
