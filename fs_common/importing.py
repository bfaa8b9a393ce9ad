# SPDX-License-Identifier: Apache-2.0
"""The message of an executable when a package that its node needs is missing or broken. No ROS import."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from frankensplit.errors import shown
from frankensplit.needs import brought_by, missing
from fs_common.ending import end_now

OURS = ("frankensplit", "fs_common", "fs_demo", "fs_edge_node", "fs_server_node")


@contextmanager
def imports_for(part: str) -> Iterator[None]:
    """Import a node inside; where it cannot be, say which command helps and end the process with status 2."""
    _require_middleware(os.environ.get("RMW_IMPLEMENTATION", ""))
    if absent := missing(part):
        _cannot_start(f"{', '.join(absent)} missing: {brought_by(part, absent)}")
    try:
        yield
    except (ImportError, OSError) as err:  # the latter: a shared library of torch
        if isinstance(err, ImportError) and (err.name or "").partition(".")[0] in OURS:
            raise  # a fault of ours
        _cannot_start(f"{err}; `frankensplit doctor --for {part}` tells more")


def _require_middleware(name: str) -> None:
    """End the process where the middleware that was asked for is not here: ROS would end it with status 102."""
    file = f"lib{name}.so"
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    if not name or any((Path(one) / "lib" / file).is_file() for one in prefixes):
        return
    try:
        ctypes.CDLL(file)
    except OSError as err:
        package = f"ros-{os.environ.get('ROS_DISTRO', 'DISTRO')}-{name.replace('_', '-')}"
        _cannot_start(
            f"RMW_IMPLEMENTATION is {shown(name)}: {err}; `sudo apt install {package}`, or unset it"
        )


def _cannot_start(why: str) -> NoReturn:
    print(f"cannot start: {why}", file=sys.stderr)
    end_now(2)
