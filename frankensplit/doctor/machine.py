# SPDX-License-Identifier: Apache-2.0
"""The machine under examination: files, environment, programs; a test makes one up by giving other ones."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from frankensplit.edge.runtimes import AUTO
from frankensplit.import_order import python_source
from frankensplit.places import user_path

TIMEOUT_S = 60.0
CUT = 124  # exit status of a program that was ended, as timeout(1) gives it

IMPORT = """
import importlib, importlib.util, json, sys
name = sys.argv[1]
found = {"state": "absent", "text": ""}
if importlib.util.find_spec(name):
    try:
        module = importlib.import_module(name)
        found = {"state": "works", "text": str(getattr(module, "__version__", ""))}
    except BaseException as err:
        found = {"state": "broken", "text": f"{type(err).__name__}: {err}"}
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Outcome:
    """How a program ended, and what it wrote."""

    status: int
    output: str
    error: str = ""


@dataclass(frozen=True)
class Imported:
    """Whether a Python package is ``absent``, ``broken`` or ``works``, and its version or what is wrong."""

    state: str
    text: str = ""


def execute(command: Sequence[str]) -> Outcome:
    """Run a program; one that does not exist or does not end has a status that is not 0."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return Outcome(CUT, "", f"no end within {TIMEOUT_S:g} s")
    except OSError as err:
        return Outcome(127, "", str(err))
    return Outcome(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Machine:
    """Where a check looks.

    Args:
        bundle: folder or name of the bundle or codec that the robot is to use; None: the one that is installed.
        runtime: that the robot is to use.
        parts: that this machine is to be (``edge``, ``server``, ``train``); empty: nobody said, and what it lacks for
            one of them is not a fault.
        engines: folder of built engines; None: the user's cache.
        root: stands for ``/``.
        environ: variables.
        execute: runs a program.
        disk_usage: total, used and free bytes of the file system that a path is on.
    """

    bundle: str | None = None
    runtime: str = AUTO
    parts: tuple[str, ...] = ()
    engines: Path | None = None
    root: Path = Path("/")
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    execute: Callable[[Sequence[str]], Outcome] = execute
    disk_usage: Callable[[Path], tuple[int, int, int]] = shutil.disk_usage

    def path(self, name: str | Path) -> Path:
        """Return where a path, absolute or from the current folder, is found."""
        return self.root / user_path(name).absolute().relative_to("/")

    def read(self, name: str) -> str | None:
        """Return the text of a small file, None where there is none to read."""
        try:
            return self.path(name).read_text(encoding="utf-8", errors="replace").strip("\0\n ")
        except OSError:
            return None

    def python(self, source: str, *args: str) -> Outcome:
        """Run a piece of Python in a process of its own, which may crash without harm."""
        return self.execute(python_source(source, *args))

    def imports(self, name: str) -> Imported:
        """Import a package elsewhere, so that neither its weight nor its faults come here."""
        outcome = self.python(IMPORT, name)
        try:
            found = json.loads(outcome.output.splitlines()[-1])
            return Imported(str(found["state"]), str(found["text"]))
        except (IndexError, ValueError, KeyError, TypeError):
            last = outcome.error.strip().splitlines()[-1:]
            return Imported(
                "broken", f"the import ended with status {outcome.status} {' '.join(last)}".strip()
            )
