# SPDX-License-Identifier: Apache-2.0
"""No home, no such user, no cache, paths that cannot be: one line, before any work, or it goes on without."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from frankensplit.cli import main
from frankensplit.places import cache_folder, cache_home, user_path

NOWHERE = Path("/proc/nowhere")  # no folder can be made there, even by root
# A container may run as a user who has neither an entry nor HOME.
HOMELESS = """
import os, pwd, sys
def unknown(_): raise KeyError("no such user")
pwd.getpwuid = unknown
os.environ.pop("HOME", None)
from frankensplit.cli import main
sys.exit(main(sys.argv[1:]))
"""


def homeless(repository: Path, *arguments: object, cache: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", HOMELESS, *map(str, arguments)],
        cwd=repository,
        env=os.environ | {"XDG_CACHE_HOME": cache},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("named", ["", "relative/cache"])
def test_a_cache_that_is_not_named_is_in_the_home(monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    monkeypatch.setenv("HOME", "/home/robot")
    assert cache_home({"XDG_CACHE_HOME": named}) == Path("/home/robot/.cache")
    assert cache_home({"XDG_CACHE_HOME": "/c"}) == Path("/c")


@pytest.mark.parametrize("cache", ["", "relative/cache", str(NOWHERE)])
def test_a_user_without_a_home_can_look_and_write(repository: Path, tmp_path: Path, cache: str) -> None:
    out = tmp_path / "out.json"
    said = homeless(repository, "info", repository / "bundles" / "street-nano", "--json", out, cache=cache)
    assert (said.returncode, "Traceback" in said.stderr) == (0, False), said.stderr
    assert json.loads(out.read_text())


def test_evaluate_does_without_a_cache(repository: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed: pip install torch timm safetensors")
    out = tmp_path / "out.json"
    few = ("--data", "street:val", "--frames", 1, "--workers", 1, "--json", out)
    said = homeless(repository, "evaluate", repository / "bundles" / "street-nano", *few, cache=str(NOWHERE))
    assert said.returncode == 0, said.stderr
    [note] = [line for line in said.stderr.splitlines() if "no cache" in line]
    assert str(NOWHERE) in note and "XDG_CACHE_HOME" in note
    assert json.loads(out.read_text())["heads"]


def test_a_cache_that_cannot_be_written_is_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with cache_folder(tmp_path / "there") as folder:
        assert folder == tmp_path / "there" and folder.is_dir()
    assert capsys.readouterr().err == ""
    (tmp_path / "file").touch()
    with cache_folder(tmp_path / "file" / "below") as folder:
        (folder / "kept").touch()
        assert tmp_path not in folder.parents
    assert not folder.exists()
    assert f"{tmp_path / 'file' / 'below'} cannot be written" in capsys.readouterr().err


def test_the_home_of_nobody_stays() -> None:
    assert user_path("~nobodyhere/x") == Path("~nobodyhere/x")
    assert user_path("~") == Path.home()


FOLDER, FILE, TAKEN, LOOP, NOBODY = "{}", "{}/file", "{}/taken", "{}/loop", "~nobodyhere/x"


@pytest.mark.parametrize(
    "arguments",
    [
        ("info", NOBODY),
        ("info", "street-nano", "--json", FOLDER),
        ("info", "street-nano", "--json", f"{FILE}/below"),
        ("evaluate", "street-nano", "--data", NOBODY),
        ("evaluate", "street-nano", "--data", f"{NOBODY}:val"),
        ("saliency", "make", NOBODY, "--data", "street:val"),
        ("saliency", "make", "street-nano", "--data", "street:val", "--cache", FILE),
        ("adapt", "street-nano", "--data", "street:val", "--out", FILE),
        ("report", "--out", FILE, "--pictures", "none"),
        ("demo", "--source", NOBODY),
        ("demo", "--out", FILE),
        ("demo", "--out", f"{LOOP}/below"),
        ("demo", "--record", TAKEN),
        ("doctor", NOBODY, "--json", FOLDER),
    ],
    ids=" ".join,
)
def test_a_path_that_cannot_be_is_one_line(
    arguments: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in {"evaluate": ("torch",), "saliency": ("torch",), "demo": ("rclpy", "av")}.get(
        arguments[0], ()
    ):
        pytest.importorskip(module, reason=f"{module} is not installed: run make setup")
    (tmp_path / "file").touch()
    (tmp_path / "taken").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    assert main([one.format(tmp_path) for one in arguments]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("note: ")]
    assert len(said) == 1 and said[0].startswith(f"frankensplit {arguments[0]}: ")
