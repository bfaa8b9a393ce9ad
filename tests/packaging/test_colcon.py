# SPDX-License-Identifier: Apache-2.0
"""A plain colcon build of the repository gives an installation that ROS tools, other packages and overlays use."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fs_common.launch_environment import inherited_environment

LISTENER = Path(__file__).parent / "listener"
PREFIXES = os.pathsep.join(filter(None, [os.environ.get("AMENT_PREFIX_PATH"), sys.prefix]))
ENVIRONMENT = {
    **inherited_environment(),
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "AMENT_PREFIX_PATH": PREFIXES,
    "CMAKE_PREFIX_PATH": PREFIXES,
}

Sourced = Callable[..., subprocess.CompletedProcess[str]]


def colcon(verb: str, where: Path, *arguments: object) -> str:
    """Run a verb of colcon in a folder and return what it says."""
    command = ["colcon", "--log-base", str(where / "log"), verb, *map(str, arguments)]
    finished = subprocess.run(command, cwd=where, env=ENVIRONMENT, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stdout[-4000:] + finished.stderr[-4000:]
    return finished.stdout + finished.stderr


@pytest.fixture(scope="module", autouse=True)
def needs_colcon() -> None:
    if shutil.which("colcon", path=ENVIRONMENT["PATH"]) is None:
        pytest.skip("colcon is not installed")


@pytest.fixture(scope="module")
def sources(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a workspace's src/ that holds the repository and a package of somebody else."""
    sources = tmp_path_factory.mktemp("workspace") / "src"
    sources.mkdir()
    (sources / "cloned").symlink_to(repository)
    (sources / "listener").symlink_to(LISTENER)
    return sources


@pytest.fixture(scope="module")
def workspace(sources: Path) -> Path:
    """Return the workspace after one plain build (about 30 s)."""
    colcon("build", sources.parent, "--event-handlers", "console_direct+")
    return sources.parent


@pytest.fixture(scope="module")
def overlay(workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a second workspace, built on top of the first (about 3 s)."""
    overlay = tmp_path_factory.mktemp("overlay")
    shutil.copytree(LISTENER, overlay / "listener")
    script = f". {workspace / 'install' / 'setup.sh'} && colcon build"
    finished = subprocess.run(
        ["sh", "-c", script], cwd=overlay, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stderr
    return overlay


@pytest.fixture(scope="module")
def path_without_messages(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a PATH whose Python has ROS 2 but not our messages, as where ROS 2 is sourced.

    ``make messages`` installs them into the environment of the ROS wheels; a copy of it, of links, leaves them out.
    """
    if not Path(sys.prefix, "share", "fs_msgs").exists():
        return ENVIRONMENT["PATH"]
    copy = tmp_path_factory.mktemp("environment")
    packages = Path(sys.prefix, "lib", f"python{sys.version_info[0]}.{sys.version_info[1]}", "site-packages")
    for folder in (Path(sys.prefix, "lib"), packages):
        (copy / folder.relative_to(sys.prefix)).mkdir(parents=True, exist_ok=True)
        for entry in folder.iterdir():
            if "fs_msgs" not in entry.name and entry.name != packages.parent.name:
                (copy / entry.relative_to(sys.prefix)).symlink_to(entry)
    (copy / "share").symlink_to(Path(sys.prefix, "share"))
    (copy / "bin").mkdir()
    (copy / "pyvenv.cfg").symlink_to(Path(sys.prefix, "pyvenv.cfg"))
    for name in ("python", "python3"):
        (copy / "bin" / name).symlink_to(Path(sys.executable).resolve())
    return f"{copy / 'bin'}{os.pathsep}{ENVIRONMENT['PATH']}"


@pytest.fixture
def sourced(workspace: Path, overlay: Path, path_without_messages: str, tmp_path: Path) -> Sourced:
    """Run a command in a new folder after sourcing both workspaces."""

    def run(*command: object) -> subprocess.CompletedProcess[str]:
        source = " && ".join(
            f". {shlex.quote(str(one / 'install' / 'setup.sh'))}" for one in (workspace, overlay)
        )
        return subprocess.run(
            ["sh", "-c", f"{source} && {shlex.join(map(str, command))}"],
            cwd=tmp_path,
            env={**ENVIRONMENT, "PATH": path_without_messages},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run


def test_colcon_finds_both_packages_and_who_needs_them(sources: Path) -> None:
    # colcon passes over the root and says nothing about it.
    assert colcon("list", sources.parent, "--names-only").split() == ["frankensplit", "fs_msgs", "listener"]
    needed = colcon("list", sources.parent, "--names-only", "--packages-up-to", "listener")
    assert set(needed.split()) == {"fs_msgs", "listener"}
    needed = colcon("list", sources.parent, "--names-only", "--packages-up-to", "frankensplit")
    assert set(needed.split()) == {"fs_msgs", "frankensplit"}


def test_tools_that_stop_at_the_root_find_the_whole(repository: Path) -> None:
    """So do rosdep and bloom. They find fs_msgs where they are pointed at it, as README says for rosdep."""
    packages = pytest.importorskip("catkin_pkg.packages", reason="catkin_pkg is not installed")
    [whole] = packages.find_packages(str(repository)).values()
    [messages] = packages.find_packages(str(repository / "fs_msgs")).values()
    assert (whole.name, messages.name) == ("frankensplit", "fs_msgs")
    named = {dependency.name for dependency in (*whole.build_depends, *whole.exec_depends)}
    assert {dependency.name for dependency in messages.build_depends} <= named  # it is a part of the whole
    assert "fs_msgs" not in named  # a key that rosdep could not resolve


def test_package_of_somebody_else_is_built_on_fs_msgs(sourced: Sourced) -> None:
    said = sourced("listener")
    assert (said.returncode, said.stdout) == (0, "fs_msgs/msg/CompressedLatent\n"), said.stderr


def test_both_packages_are_registered(workspace: Path) -> None:
    for package in ("frankensplit", "fs_msgs"):
        index = workspace / "install" / package / "share" / "ament_index" / "resource_index"
        assert [path.name for path in (index / "packages").iterdir()] == [package]
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


def test_command_is_on_the_path(sourced: Sourced, workspace: Path) -> None:
    found = sourced("sh", "-c", "command -v frankensplit").stdout.strip()
    assert Path(found) == workspace / "install" / "frankensplit" / "bin" / "frankensplit"
    assert sourced("frankensplit", "--version").stdout.startswith("frankensplit ")


@pytest.mark.parametrize(
    "module", ["frankensplit.codec._rans", "fs_common", "fs_edge_node.node", "fs_msgs.msg"]
)
def test_modules_come_from_the_installation(sourced: Sourced, workspace: Path, module: str) -> None:
    code = f"import importlib; print(importlib.import_module({module!r}).__file__)"
    said = sourced("python3", "-c", code)
    assert (workspace / "install") in Path(said.stdout.strip()).parents, said.stderr


def test_demo_runs_from_an_overlay(sourced: Sourced, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the server's networks are not installed: run `make setup`")
    said = sourced(
        "frankensplit",
        "demo",
        "--bundle",
        "street-nano",
        "--frames",
        5,
        "--fps",
        2,
        "--out",
        tmp_path / "out",
    )
    assert said.returncode == 0, said.stderr
    assert "predicted by the server" in said.stderr


@pytest.mark.parametrize("node", ["edge", "server"])
def test_nodes_find_the_libraries_of_an_overlay(sourced: Sourced, workspace: Path, node: str) -> None:
    """A node that cannot start as asked has imported all that it needs."""
    executable = workspace / "install" / "frankensplit" / "lib" / "frankensplit" / node
    said = sourced(executable, "--ros-args", "-p", "bundle:=no-such-bundle")
    assert said.returncode == 2 and "no-such-bundle" in said.stderr + said.stdout, said.stderr


def test_colcon_test_runs_something(workspace: Path) -> None:
    colcon("test", workspace, "--packages-select", "frankensplit", "--ctest-args", "-R", "launch")
    results = colcon(
        "test-result", workspace, "--test-result-base", "build/frankensplit/test_results", "--all"
    )
    assert "launch.xunit.xml" in results and " 0 failures" in results and "Summary: 0 tests" not in results
