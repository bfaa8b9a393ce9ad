# SPDX-License-Identifier: Apache-2.0
"""Keep the current folder out of the import path.

``python -m NAME`` puts the current folder first, before the standard library, and ``python -c`` does so too; so does,
at its place, each empty entry of ``PYTHONPATH``, which a trailing colon is. A ``cv_bridge.py`` that somebody left in
that folder would then run. Here is what is done about each way to start:

- scripts (``frankensplit``, and ``bin/`` for ``ros2 run`` and ``ros2 launch``) have their own folder first, not the
  current one;
- processes that we start get ``-P`` (Python 3.11), or what it does (3.10), and no empty entry of ``PYTHONPATH``;
  ``-I`` would do, but drops all of ``PYTHONPATH``, which ROS lives in;
- an empty entry that is set by hand holds until our code runs: for all that Python itself imports at its start;
- ``python -m``, typed by hand, has found its own package before any of our code runs: whoever types it in a strange
  folder trusts that folder with the names ``frankensplit``, ``runpy`` and what that imports. From then on
  ``forget_current_folder`` holds.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

FORGET = "import sys; sys.path[:] = filter(None, sys.path)\n"  # first line of Python code for -c
RUN = (
    f"{FORGET}from runpy import run_module; run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)


def python_source(source: str, *args: str) -> list[str]:
    """Return the command that runs a piece of Python, which imports nothing from the current folder."""
    return [sys.executable, "-c", FORGET + source, *args]


def python_module(name: str, *args: str) -> list[str]:
    """Return the command that runs a module as ``-m`` does, but imports nothing from the current folder."""
    how = ["-P", "-m"] if sys.version_info >= (3, 11) else ["-c", RUN]
    return [sys.executable, *how, name, *args]


def forget_current_folder() -> None:
    """Import nothing more from the current folder, unless ``PYTHONPATH`` names it or this package lies in it."""
    try:
        here = Path.cwd()
    except FileNotFoundError:  # it was removed, and nothing can be imported from it
        return
    named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if here == Path(__file__).resolve().parents[1] or str(here) in map(os.path.abspath, filter(None, named)):
        return
    sys.path[:] = [place for place in sys.path if place not in ("", str(here))]


def without_empty_entries(environment: dict[str, str]) -> dict[str, str]:
    """Return the environment of a process whose ``PYTHONPATH`` does not mean the current folder."""
    kept = [place for place in environment.get("PYTHONPATH", "").split(os.pathsep) if place]
    others = {name: value for name, value in environment.items() if name != "PYTHONPATH"}
    return {**others, "PYTHONPATH": os.pathsep.join(kept)} if kept else others
