# SPDX-License-Identifier: Apache-2.0
"""Each page of docs/extending works as it stands: its files, put into a copy of the package, and its commands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = REPOSITORY / "docs" / "extending"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMES = re.compile(r"`([\w/.-]+\.(?:py|yaml))`")
TRAINS = ("head", "family")


def blocks(page: str, *languages: str) -> list[str]:
    """Return the code blocks of a page in these languages."""
    return [code for language, code in BLOCK.findall(page) if language in languages]


def files(page: str) -> dict[str, str]:
    """Return the files of a page: the n-th block of code or YAML has the n-th name that the text gives beforehand."""
    found: dict[str, str] = {}
    waiting: list[str] = []
    for text, language, code in re.findall(
        r"(.*?)(?:^```(\w+)\n(.*?)^```$|\Z)", page, re.MULTILINE | re.DOTALL
    ):
        waiting += [name for name in NAMES.findall(text) if name not in (*found, *waiting)]
        if language in ("python", "yaml"):
            found[waiting.pop(0)] = code
    return found


def copy_of_package(folder: Path) -> Path:
    """Return a folder that holds the package, file by file as links, and the bundles."""
    shutil.copytree(
        REPOSITORY / "frankensplit",
        folder / "frankensplit",
        copy_function=os.symlink,
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    (folder / "bundles").symlink_to(REPOSITORY / "bundles")
    return folder


@pytest.mark.parametrize("name", ["head", "family", "rival", "runtime", "source"])
def test_page_works_as_it_stands(name: str, tmp_path: Path) -> None:
    if name in TRAINS and find_spec("compressai") is None:
        pytest.skip("training needs compressai")
    page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    folder = copy_of_package(tmp_path)
    for path, code in files(page).items():
        (folder / path).write_text(code, encoding="utf-8")
    for command in "".join(blocks(page, "bash")).splitlines():
        words = command.replace("frankensplit ", "-m frankensplit ", 1).removeprefix("python ").split()
        finished = subprocess.run(
            [sys.executable, *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, f"{command}\n{finished.stdout}\n{finished.stderr}"


def test_index_names_every_page() -> None:
    index = (PAGES / "README.md").read_text(encoding="utf-8")
    pages = {path.name for path in PAGES.glob("*.md")} - {"README.md"}
    assert set(re.findall(r"\(([\w-]+\.md)\)", index)) == pages
