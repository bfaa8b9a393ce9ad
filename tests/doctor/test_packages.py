# SPDX-License-Identifier: Apache-2.0
"""What a part needs and is not there: a fault where that part is asked for, a note where it is not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from frankensplit.doctor import FAULT, NOTE, OK, examine
from frankensplit.doctor.checks import packages
from frankensplit.needs import NEEDS, PARTS, brought_by, missing

WITHOUT = """
import sys
for name in sys.argv.pop(1).split(","):
    sys.modules[name] = None
"""
DOCTOR = WITHOUT + "from frankensplit.cli import main; sys.exit(main(sys.argv[1:]))"
NODE = WITHOUT + "import runpy; sys.argv[:] = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"


def python(source: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", source, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize(
    ("absent", "parts", "level"),
    [
        ("torch", (), NOTE),
        ("torch", ("server",), FAULT),
        ("torch", ("edge",), OK),
        ("vision_msgs", ("server",), FAULT),
    ],
)
def test_what_is_absent(made_up, monkeypatch, absent, parts, level):
    monkeypatch.setattr(packages, "missing", lambda part: [absent] if absent in NEEDS[part] else [])
    made_up.packages |= {packages._module(name): ("works", "1.0") for name in NEEDS["server"]}
    made_up.told["parts"] = parts
    found = made_up.find(packages.check)
    assert set(found) == set(parts or PARTS)
    finding = found[parts[0] if parts else "server"]
    assert finding.level == level
    assert level == OK or (absent in finding.text and "install" in finding.remedy)


def test_what_is_broken(made_up, monkeypatch):
    monkeypatch.setattr(packages, "missing", lambda part: [])
    made_up.packages |= {packages._module(name): ("works", "") for name in NEEDS["server"]}
    made_up.packages["torch"] = ("broken", "OSError: libcudart.so.13")
    made_up.told["parts"] = ("server",)
    finding = made_up.find(packages.check)["server"]
    assert (finding.level, finding.remedy) == (FAULT, "pip install torch")
    assert "libcudart" in finding.text


def test_commands_bring_several_packages_at_once(monkeypatch):
    assert brought_by("server", ["torch", "timm"]) == "pip install torch timm"
    several = brought_by("train", ["lightning_fabric", "compressai"])
    assert several == "pip install lightning-fabric; pip install --no-deps compressai"


@pytest.mark.parametrize(
    ("part", "left_out"),
    [("server", {"runtimes", "frames"}), ("train", {"ROS 2", "kernel"}), ("edge", set())],
)
def test_only_what_matters_is_looked_at(with_codec, part, left_out):
    with_codec.told["parts"] = (part,)
    titles = {title for title, _ in examine(with_codec.machine)}
    assert "packages" in titles and not titles & left_out


@pytest.mark.parametrize(("part", "status"), [("server", 1), ("edge", 0)])
def test_the_verb(part: str, status: int, monkeypatch, capsys):
    from frankensplit.cli import main
    from frankensplit.doctor import checks

    monkeypatch.setattr(packages, "missing", lambda of: ["torch"] if "torch" in NEEDS[of] else [])
    monkeypatch.setattr(packages.Machine, "imports", lambda *_: packages_work())
    monkeypatch.setattr("frankensplit.doctor.check_modules", lambda: [checks.packages])
    assert main(["doctor", "--for", part, "--json", "-"]) == status
    assert json.loads(capsys.readouterr().out)["faults"] == status


def packages_work():
    from frankensplit.doctor.machine import Imported

    return Imported("works", "1.0")


@pytest.mark.parametrize(
    ("node", "absent", "command"),
    [
        ("server", "torch,timm", "pip install torch timm"),
        ("server", "vision_msgs", "-vision-msgs"),
        ("edge", "cv2", "rosdep install"),
    ],
)
def test_a_node_says_what_it_lacks(repository: Path, node: str, absent: str, command: str) -> None:
    others = [name for name in missing(node) if name not in absent.split(",")]
    if others:
        pytest.skip(f"{', '.join(others)} missing: run make setup, or source a ROS installation")
    said = python(NODE, absent, str(repository / "bin" / node))
    assert said.returncode == 2 and "Traceback" not in said.stderr, said.stderr
    [line] = said.stderr.splitlines()
    assert line.startswith(f"cannot start: {absent.replace(',', ', ')} missing: ") and command in line


@pytest.mark.parametrize(("node", "package"), [("server", "torch"), ("edge", "cv2")])
def test_a_node_says_what_is_broken(repository: Path, tmp_path: Path, node: str, package: str) -> None:
    pytest.importorskip("rclpy", reason="no ROS 2: run make setup, or source one")
    (tmp_path / f"{package}.py").write_text(
        "raise OSError('libmissing.so: cannot open shared object file')\n"
    )
    source = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n" + NODE
    said = python(source, "nothing", str(repository / "bin" / node))
    assert said.returncode == 2 and "Traceback" not in said.stderr, said.stderr
    assert said.stderr.splitlines()[-1].startswith("cannot start: libmissing.so")


def test_a_verb_says_what_it_lacks(repository: Path) -> None:
    said = python(DOCTOR, "torch", "train", str(repository / "recipes" / "street-nano.yaml"))
    assert (said.returncode, said.stderr) == (
        2,
        "frankensplit train: torch is not installed: pip install torch\n",
    )
