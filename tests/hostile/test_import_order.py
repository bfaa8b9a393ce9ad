# SPDX-License-Identifier: Apache-2.0
"""What lies in the current folder is not imported: by nodes, by the command, or by processes that they start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from frankensplit.import_order import (
    RUN,
    forget_current_folder,
    python_module,
    python_source,
    without_empty_entries,
)
from fs_common.launch_environment import inherited_environment

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 120
NAMES = (
    "cv_bridge",
    "numpy",
    "yaml",
    "cv2",
    "rclpy",
    "torch",
    "rich",
    "json",
    "runpy",
    "onnxruntime",
    "argparse",
)


@pytest.fixture
def folder(tmp_path):
    """Return a folder whose modules write down that they ran."""
    folder = tmp_path / "hostile"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write({name + ' '!r})\n")
    return folder


def ran(folder: Path) -> str:
    marker = folder.parent / "ran"
    return marker.read_text() if marker.exists() else ""


def environment(pythonpath: str = str(ROOT)) -> dict[str, str]:
    """Put an entry before those that name a sourced ROS 2 and its overlays, if there are any."""
    kept = {name: value for name, value in inherited_environment().items() if name != "PYTHONSAFEPATH"}
    inherited = filter(None, kept.get("PYTHONPATH", "").split(os.pathsep))
    return {**kept, "PYTHONPATH": os.pathsep.join([pythonpath, *inherited])}


def run_in(folder: Path, command: list[str], pythonpath: str = str(ROOT)) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env=environment(pythonpath),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_the_trap_works(folder):
    run_in(folder, [sys.executable, "-c", "import yaml"])
    assert ran(folder) == "yaml "


EMPTY_ENTRIES = [str(ROOT), f"{ROOT}{os.pathsep}", f"{ROOT}{os.pathsep}{os.pathsep}/nowhere"]
# What the interpreter itself imports from there before any code of ours runs cannot be helped; see import_order.
OURS_TO_HELP = ("cv_bridge", "numpy", "yaml", "cv2", "rclpy", "torch", "rich", "onnxruntime")


def keep(folder: Path, names: tuple[str, ...]) -> None:
    for file in folder.iterdir():
        if file.stem not in names:
            file.unlink()


@pytest.mark.parametrize("pythonpath", EMPTY_ENTRIES)
def test_the_command_as_installed(folder, bundle_path, pythonpath):
    """The console script does what bin/frankensplit does. An empty entry hides the standard library from its start."""
    if pythonpath != str(ROOT):
        keep(folder, OURS_TO_HELP)
    said = run_in(
        folder, [sys.executable, str(ROOT / "bin" / "frankensplit"), "info", str(bundle_path)], pythonpath
    )
    assert said.returncode == 0 and "street" in said.stdout, said.stderr
    assert ran(folder) == ""


def test_the_command_by_dash_m(folder, bundle_path):
    keep(folder, OURS_TO_HELP)
    said = run_in(folder, [sys.executable, "-m", "frankensplit", "info", str(bundle_path)])
    assert said.returncode == 0 and "street" in said.stdout, said.stderr
    assert ran(folder) == ""


def test_doctor_looks_elsewhere(folder):
    command = [sys.executable, str(ROOT / "bin" / "frankensplit"), "doctor", "--json", "-"]
    assert run_in(folder, command).returncode in (0, 1)
    assert ran(folder) == ""


@pytest.mark.parametrize("how", ["table", "bin", "-m"])
def test_nodes(folder, how):
    """A node that cannot start as asked has imported all that it needs."""
    pytest.importorskip("rclpy", reason="no ROS 2: run make setup, or source one")
    from fs_edge_node.launch_table import EDGE
    from fs_server_node.launch_table import SERVER

    keep(folder, NAMES if how != "-m" else OURS_TO_HELP)
    for node in (EDGE, SERVER):
        command = {
            "table": node.command({"bundle": "no-such-bundle"}),
            "bin": [
                sys.executable,
                str(ROOT / "bin" / node.executable),
                "--ros-args",
                "-p",
                "bundle:=no-such-bundle",
            ],
            "-m": [sys.executable, "-m", node.module, "--ros-args", "-p", "bundle:=no-such-bundle"],
        }[how]
        ended = run_in(folder, command)
        assert ended.returncode == 2 and "no-such-bundle" in ended.stderr + ended.stdout, ended.stderr
        assert ran(folder) == ""


def test_python_without_dash_p_does_the_same(folder):
    """What Python 3.10 is started by."""
    (folder.parent / "there").mkdir()
    (folder.parent / "there" / "said.py").write_text(
        "import sys, yaml; print(__name__, sys.argv[1:], yaml.__name__)"
    )
    path = os.pathsep.join((str(ROOT), str(folder.parent / "there")))
    for command in ([sys.executable, "-c", RUN, "said", "a", "-m"], python_module("said", "a", "-m")):
        said = run_in(folder, command, path)
        assert said.stdout == "__main__ ['a', '-m'] yaml\n", said.stderr
    said = run_in(folder, python_source("import sys, json, yaml; print(sys.argv[1:])", "a"))
    assert said.stdout == "['a']\n" and ran(folder) == ""


def test_what_pythonpath_names_stays(folder, monkeypatch):
    monkeypatch.chdir(folder)
    others = ["/usr/lib/x", str(folder), ""]
    monkeypatch.setattr(sys, "path", list(others))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    forget_current_folder()
    assert sys.path == others
    monkeypatch.setenv("PYTHONPATH", f"/usr/lib/x{os.pathsep}")
    forget_current_folder()
    assert sys.path == ["/usr/lib/x"]
    monkeypatch.setattr(sys, "path", ["", str(ROOT)])
    monkeypatch.chdir(ROOT)
    forget_current_folder()
    assert sys.path == ["", str(ROOT)]


def test_a_folder_that_was_removed(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    forget_current_folder()


def test_environment_of_the_demos_nodes(monkeypatch, tmp_path):
    from fs_common.processes import demo_environment

    monkeypatch.setenv("PYTHONPATH", f"{os.pathsep}/a{os.pathsep}{os.pathsep}/b{os.pathsep}")
    assert demo_environment(tmp_path / "profile.xml")["PYTHONPATH"] == f"/a{os.pathsep}/b"
    assert without_empty_entries({"PYTHONPATH": os.pathsep, "A": "1"}) == {"A": "1"}
    assert without_empty_entries({"A": "1"}) == {"A": "1"}
