# SPDX-License-Identifier: Apache-2.0
"""`demo.launch.py viewer:=...` starts the viewer with its file, or says what to install and starts nothing."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from frankensplit.errors import RuntimeUnavailable
from frankensplit.needs import brought_by
from fs_demo.viewers import VIEWER, VIEWERS

ROOT = Path(__file__).resolve().parents[2]


def test_advice_says_what_brings_a_viewer() -> None:
    distro = os.environ.get("ROS_DISTRO", "DISTRO")
    assert VIEWER.choices == ("none", *VIEWERS) and VIEWER.default == "none"
    told = {name: brought_by(name, [one.package]) for name, one in VIEWERS.items()}
    assert told == {
        "rviz": f"sudo apt install ros-{distro}-rviz2",
        "foxglove": f"sudo apt install ros-{distro}-foxglove-bridge",
    }


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Load the launch file where this package is installed, and no viewer."""
    pytest.importorskip(
        "launch_ros", reason="launch_ros is not installed and no wheel of it exists: source ROS"
    )
    install(tmp_path, "frankensplit")
    (tmp_path / "share" / "frankensplit").symlink_to(ROOT)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    spec = importlib.util.spec_from_file_location("demo_launch", ROOT / "launch" / "demo.launch.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def install(prefix: Path, package: str) -> None:
    """Enter a package in an ament index."""
    marker = prefix / "share" / "ament_index" / "resource_index" / "packages" / package
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.touch()


def actions_of(demo: ModuleType, **arguments: str) -> list[Any]:
    """Visit what comes before the nodes, as launch does; give the actions of the viewer."""
    from launch.actions import OpaqueFunction

    from launch import LaunchContext

    context = LaunchContext()
    context.launch_configurations.update(arguments)
    entities = demo.generate_launch_description().entities
    first = next(at for at, one in enumerate(entities) if isinstance(one, OpaqueFunction))
    for one in entities[:first]:
        one.visit(context)
    found = entities[first].visit(context) or []
    for one in found:
        one.visit(context) if type(one).__name__ == "LogInfo" else one._perform_substitutions(context)
    return found


def test_none_starts_nothing(demo: ModuleType) -> None:
    assert actions_of(demo) == []


@pytest.mark.parametrize("name", VIEWERS)
def test_a_viewer_is_started_with_its_file(
    demo: ModuleType, tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    viewer = VIEWERS[name]
    install(tmp_path, viewer.package)
    _, node = actions_of(demo, viewer=name, namespace="robot1")
    assert (node.node_package, node.node_executable) == (viewer.package, viewer.executable)
    assert node.expanded_node_namespace == "/robot1"
    file = tmp_path / "share" / "frankensplit" / "config" / viewer.file
    words = [word for one in node.cmd for word in one]
    assert file.is_file() and (str(file) in [one.text for one in words if hasattr(one, "text")]) == (
        name == "rviz"
    )


@pytest.mark.parametrize("name", VIEWERS)
def test_a_missing_viewer_is_refused_before_any_node_starts(demo: ModuleType, name: str) -> None:
    package = VIEWERS[name].package
    with pytest.raises(RuntimeUnavailable, match=f"{name} needs the package {package}.*sudo apt install"):
        actions_of(demo, viewer=name)


def test_another_viewer_is_refused(demo: ModuleType) -> None:
    with pytest.raises(RuntimeError, match="rqt"):
        actions_of(demo, viewer="rqt")
