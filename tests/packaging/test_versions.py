# SPDX-License-Identifier: Apache-2.0
"""One version number, everywhere the same."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import frankensplit


def _first(pattern: str, path: Path) -> str:
    found = re.search(pattern, path.read_text(), flags=re.MULTILINE)
    assert found, f"no {pattern!r} in {path.name}"
    return found[1]


@pytest.mark.parametrize("manifest", ["package.xml", "frankensplit/package.xml", "fs_msgs/package.xml"])
def test_ros_manifests(repository: Path, manifest: str) -> None:
    assert ElementTree.parse(repository / manifest).findtext("version") == frankensplit.__version__


def test_python_project(repository: Path) -> None:
    assert _first(r'^version = "(.+)"$', repository / "pyproject.toml") == frankensplit.__version__


def test_newest_entry_of_changelog(repository: Path) -> None:
    assert (
        _first(r"^(\d+\.\d+\.\d+) \(\d{4}-\d\d-\d\d\)$", repository / "CHANGELOG.rst")
        == frankensplit.__version__
    )


def test_citation(repository: Path) -> None:
    assert _first(r"^version: (.+)$", repository / "CITATION.cff") == frankensplit.__version__


def test_hooks_take_the_linter_that_is_installed(repository: Path) -> None:
    pinned = _first(r"^ruff==(.+)$", repository / "requirements" / "constraints.txt")
    hooks = re.findall(r"ruff==([\d.]+)", (repository / ".pre-commit-config.yaml").read_text())
    assert hooks and set(hooks) == {pinned}
