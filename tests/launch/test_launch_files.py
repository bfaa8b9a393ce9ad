# SPDX-License-Identifier: Apache-2.0
"""Launch files against the tables they are made of, without launch: names, executables, choices."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import re
from pathlib import Path

import pytest
from launch_values import other_values

from frankensplit.fast_dds import PROFILE_VARIABLES
from fs_common.launch_environment import driver_advice
from fs_common.node_launch import NodeLaunch
from fs_demo.launch_table import CAMERA
from fs_edge_node.launch_table import EDGE
from fs_server_node.launch_table import SERVER

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "launch").glob("*.launch.py"))
NODES = [EDGE, SERVER, CAMERA]
# These modules import launch, so their names are read from the source.
NEEDS_LAUNCH = ("fs_common.launching",)


@pytest.fixture(params=FILES, ids=lambda path: path.name)
def tree(request: pytest.FixtureRequest) -> ast.Module:
    """Parse a launch file."""
    return ast.parse(request.param.read_text(encoding="utf-8"), str(request.param))


@pytest.fixture(params=NODES, ids=lambda node: node.executable)
def node(request: pytest.FixtureRequest) -> NodeLaunch:
    """Give a node's table."""
    return request.param


def names_in(module: str) -> set[str]:
    """List the public names of a module, from its source where it cannot be imported here."""
    if module not in NEEDS_LAUNCH:
        return set(vars(importlib.import_module(module)))
    spec = importlib.util.find_spec(module)
    assert spec and spec.origin
    body = ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body
    return {one.name for one in body if isinstance(one, ast.FunctionDef)}


def test_all_three_are_there() -> None:
    assert {path.name for path in FILES} >= {"demo.launch.py", "edge.launch.py", "server.launch.py"}


def test_every_imported_name_exists(tree: ast.Module) -> None:
    ours = [one for one in ast.walk(tree) if isinstance(one, ast.ImportFrom) and one.module.startswith("fs_")]
    assert ours
    for one in ours:
        assert {alias.name for alias in one.names} <= names_in(one.module)
    assert "generate_launch_description" in {
        one.name for one in tree.body if isinstance(one, ast.FunctionDef)
    }


def test_executable_is_installed_and_runs_the_module(node: NodeLaunch) -> None:
    pytest.importorskip("rclpy", reason="no ROS 2: run make setup, or source one")
    script = ROOT / "bin" / node.executable
    assert os.access(script, os.X_OK)
    assert script.read_text(encoding="utf-8").startswith("#!/usr/bin/env python3\n")
    assert f"/{node.executable}" in (ROOT / "frankensplit" / "CMakeLists.txt").read_text(encoding="utf-8")
    (imported,) = [
        one for one in ast.walk(ast.parse(script.read_text(encoding="utf-8"))) if imports_main(one)
    ]
    assert imported.module.startswith(node.module)
    assert "main" in names_in(imported.module)


def imports_main(statement: ast.AST) -> bool:
    """Tell `from MODULE import main`."""
    return isinstance(statement, ast.ImportFrom) and [alias.name for alias in statement.names] == ["main"]


def test_arguments_read_as_documentation(node: NodeLaunch) -> None:
    arguments = node.arguments()
    names = [one.name for one in arguments]
    assert len(set(names)) == len(names)
    for one in arguments:
        assert one.description[0].isupper()
        assert not one.choices or one.default in one.choices


def test_its_dds_profile_is_there(node: NodeLaunch) -> None:
    assert (ROOT / "config" / node.dds_profile).is_file()


def test_a_node_may_be_started_again(node: NodeLaunch) -> None:
    (respawn,) = (one for one in node.arguments() if one.name == "respawn")
    assert (respawn.default, respawn.choices) == ("false", ("true", "false"))
    source = (ROOT / "fs_common" / "launching.py").read_text(encoding="utf-8")
    assert 'respawn=values["respawn"] == "true"' in source


def test_the_launch_output_says_what_a_camera_driver_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROFILE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    (advice,) = driver_advice()
    for name in PROFILE_VARIABLES:  # the profile of the repository, or of an installation that is tested
        assert (path := re.search(rf"{name}=(\S+/config/fastdds\.xml)", advice)) and Path(path[1]).is_file()
    monkeypatch.setenv(PROFILE_VARIABLES[0], "/etc/dds.xml")
    assert driver_advice() == []


def test_every_argument_reaches_the_node(node: NodeLaunch) -> None:
    plain = node.command({})
    for name, text in other_values(node).items():
        assert node.command({name: text}) != plain, name
