# SPDX-License-Identifier: Apache-2.0
"""What README and docs say is so: figures, commands, links."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from frankensplit.cli import VERBS

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    *(str(path.relative_to(REPOSITORY)) for path in sorted((REPOSITORY / "docs").rglob("*.md"))),
]


@pytest.fixture(params=PAGES)
def page(request, repository):
    return repository / request.param


def _write_figures(repository):
    spec = importlib.util.spec_from_file_location(
        "write_figures", repository / "scripts" / "write_figures.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_figures_are_those_of_the_committed_results(page, repository):
    text = page.read_text(encoding="utf-8")
    assert "| frankensplit, " in text or page != repository / "README.md"
    assert _write_figures(repository).with_figures(text) == text


def test_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing


def test_commands_exist(page, repository):
    text = page.read_text(encoding="utf-8")
    verbs = set(re.findall(r"bin/frankensplit (\w+)|^frankensplit (\w+)", text, re.MULTILINE))
    verbs = {verb for pair in verbs for verb in pair if verb}
    assert verbs <= set(VERBS)
    targets = set(re.findall(r"^make (\w+)", text, re.MULTILINE))
    makefile = (repository / "Makefile").read_text(encoding="utf-8")
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
    for recipe in re.findall(r"recipes/\S+\.yaml", text):
        assert (repository / recipe).is_file()
    for launch_file in re.findall(r"ros2 launch frankensplit (\S+)", text):
        assert (repository / "launch" / launch_file).is_file()


def test_pip_runs_in_an_environment(page):
    """Python of Ubuntu 24.04 and later refuses pip elsewhere (PEP 668)."""
    for block in re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        before, pip, _ = block.partition("\npip install")
        assert not pip or re.search(r"venv --system-site-packages (\S+) && \. \1/bin/activate", before)
