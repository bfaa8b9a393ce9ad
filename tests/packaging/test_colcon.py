# SPDX-License-Identifier: Apache-2.0
"""A plain colcon build of the repository gives an installation that ROS tools understand."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PREFIXES = os.pathsep.join(filter(None, [os.environ.get("AMENT_PREFIX_PATH"), sys.prefix]))
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "AMENT_PREFIX_PATH": PREFIXES,
    "CMAKE_PREFIX_PATH": PREFIXES,
}


@pytest.fixture(scope="module")
def workspace(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a workspace that holds the built and installed repository (about 20 s)."""
    if shutil.which("colcon", path=ENVIRONMENT["PATH"]) is None:
        pytest.skip("colcon is not installed")
    workspace = tmp_path_factory.mktemp("workspace")
    build = ["colcon", "build", "--base-paths", str(repository), "--event-handlers", "console_direct+"]
    finished = subprocess.run(build, cwd=workspace, env=ENVIRONMENT, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stdout[-4000:] + finished.stderr[-4000:]
    return workspace


def run_sourced(workspace: Path, *command: str) -> str:
    """Run a command after sourcing the workspace, away from the repository; return its standard output."""
    script = f". {shlex.quote(str(workspace / 'install' / 'setup.sh'))} && {shlex.join(command)}"
    finished = subprocess.run(["sh", "-c", script], cwd="/", env=ENVIRONMENT, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_both_packages_are_registered(workspace: Path) -> None:
    index = workspace / "install" / "frankensplit" / "share" / "ament_index" / "resource_index"
    assert {path.name for path in (index / "packages").iterdir()} == {"frankensplit", "fs_msgs"}
    assert [path.name for path in (index / "rosidl_interfaces").iterdir()] == ["fs_msgs"]


def test_every_executable_is_installed_and_finds_its_python(workspace: Path, repository: Path) -> None:
    installed = workspace / "install" / "frankensplit" / "lib" / "frankensplit"
    names = {path.name for path in (repository / "bin").iterdir()}
    assert {path.name for path in installed.iterdir()} == names
    for path in installed.iterdir():
        assert os.access(path, os.X_OK)
        assert path.read_text().startswith("#!/usr/bin/env python3\n")


@pytest.mark.parametrize("folder", ["bundles", "config", "launch", "recipes"])
def test_every_shared_file_is_installed(workspace: Path, repository: Path, folder: str) -> None:
    installed = workspace / "install" / "frankensplit" / "share" / "frankensplit" / folder

    def files(root: Path) -> set[Path]:
        return {
            path.relative_to(root) for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc"
        }

    assert files(installed) == files(repository / folder)


def test_command_runs_from_the_installation(workspace: Path) -> None:
    command = workspace / "install" / "frankensplit" / "lib" / "frankensplit" / "frankensplit"
    assert run_sourced(workspace, str(command), "--version").startswith("frankensplit ")


@pytest.mark.parametrize(
    "module", ["frankensplit.codec._rans", "fs_common", "fs_edge_node.node", "fs_msgs.msg"]
)
def test_modules_come_from_the_installation(workspace: Path, module: str) -> None:
    code = f"import importlib; print(importlib.import_module({module!r}).__file__)"
    origin = Path(run_sourced(workspace, "python3", "-c", code).strip())
    assert (workspace / "install") in origin.parents
