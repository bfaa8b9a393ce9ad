# SPDX-License-Identifier: Apache-2.0
"""The layers: imports only point down, no torch on the robot, no rclpy in the library."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

LAYERS = (  # each imports from itself and from below only
    "frankensplit.__main__",
    "frankensplit.cli",  # the command: calls everything below by name, imports none of it until then
    "fs_bench",
    "fs_demo",
    "fs_server_node",
    "fs_edge_node",
    "fs_common",
    "frankensplit.benchmarks",
    "frankensplit.doctor",
    "frankensplit.training",
    "frankensplit.report",
    "frankensplit.evaluation",
    "frankensplit.inference",
    "frankensplit.models",
    "frankensplit.data",
    "frankensplit.edge",
    "frankensplit.arguments",
    "frankensplit.bundle",
    "frankensplit.manifest",
    "frankensplit.kinds",
    "frankensplit.codec",
    "frankensplit.geometry",
    "frankensplit.results",
    "frankensplit.progress",
    "frankensplit.writing",
    "frankensplit.reading",
    "frankensplit.fast_dds",
    "frankensplit.errors",
    "frankensplit.processes",
    "frankensplit.needs",
    "frankensplit.import_order",
    "frankensplit",
)
PEERS = (("fs_bench", "fs_demo"), ("fs_edge_node", "fs_server_node"))  # neither knows the other
PACKAGES = tuple(sorted({layer.partition(".")[0] for layer in LAYERS}))
TORCH_FREE = (
    "frankensplit.bundle",
    "frankensplit.cli",
    "frankensplit.codec",
    "frankensplit.doctor",
    "frankensplit.edge",
    "frankensplit.geometry",
    "frankensplit.inference.overlay",
    "frankensplit.results",
    "frankensplit.writing",
    "fs_common",
    "fs_edge_node",
)

IMPORT_WITHOUT = """
import importlib, pkgutil, sys

forbidden, *names = sys.argv[1:]
sys.modules[forbidden] = None  # any import of it now fails

def refuse(name):
    raise

def load(name):
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as err:
        if err.name.partition(".")[0] not in ("launch", "launch_ros"):  # in a full ROS 2 only
            raise

for name in names:
    for found in pkgutil.walk_packages(getattr(load(name), "__path__", []), f"{name}.", onerror=refuse):
        if not found.name.endswith("__main__"):
            load(found.name)
"""


def import_without(forbidden: str, *names: str) -> None:
    """Import modules and everything below them in a process that cannot import ``forbidden``."""
    command = [sys.executable, "-c", IMPORT_WITHOUT, forbidden, *names]
    finished = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr


def test_robot_needs_no_torch() -> None:
    pytest.importorskip("rclpy", reason="no ROS 2: run make setup, or source one")
    import_without("torch", *TORCH_FREE)


def test_library_needs_no_ros() -> None:
    import_without("rclpy", "frankensplit")


def test_forbidding_works() -> None:
    with pytest.raises(AssertionError, match="import of numpy halted"):
        import_without("numpy", "frankensplit.codec")


def python_files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((REPOSITORY / folder).rglob("*.py"))]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)


def imported(path: Path) -> Iterator[str]:
    """Yield the absolute name of each import, wherever in the file it stands."""
    for statement in ast.walk(ast.parse(path.read_text())):
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            yield from (f"{statement.module}.{alias.name}" for alias in statement.names)


def rank(name: str) -> int | None:
    """Return the place of a module in LAYERS, None when it is not ours."""
    return next((at for at, layer in enumerate(LAYERS) if f"{name}.".startswith(f"{layer}.")), None)


def upward_imports(path: Path) -> Iterator[str]:
    own = rank(module_name(path))
    assert own is not None
    for other in imported(path):
        place = rank(other)
        if place is not None and place < own:
            yield f"{module_name(path)} imports {other}, which is above it"


def test_imports_point_down() -> None:
    assert [line for path in python_files(*PACKAGES) for line in upward_imports(path)] == []


@pytest.mark.parametrize("pair", [*PEERS, *(pair[::-1] for pair in PEERS)])
def test_peers_do_not_know_each_other(pair: tuple[str, str]) -> None:
    one, other = pair
    imports = {name for path in python_files(one) for name in imported(path)}
    assert not [name for name in imports if name.partition(".")[0] == other]


def begins_well(path: Path) -> bool:
    lines = path.read_text().removeprefix("#!/usr/bin/env python3\n").splitlines()
    licence, docstring, *_ = [*lines, "", ""]
    return licence == "# SPDX-License-Identifier: Apache-2.0" and docstring.startswith('"""')


def test_every_file_begins_with_licence_and_docstring() -> None:
    files = python_files(*PACKAGES, "launch", "scripts", "tests")
    assert [str(path.relative_to(REPOSITORY)) for path in files if not begins_well(path)] == []
