# SPDX-License-Identifier: Apache-2.0
"""What an executable says when a package that its node needs is missing or broken. No ROS import."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from frankensplit.needs import brought_by, missing
from fs_common.ending import end_now

OURS = ("frankensplit", "fs_common", "fs_demo", "fs_edge_node", "fs_server_node")


@contextmanager
def imports_for(part: str) -> Iterator[None]:
    """Import a node inside; where it cannot be, say which command helps and end the process with status 2."""
    if absent := missing(part):
        _cannot_start(f"{', '.join(absent)} missing: {brought_by(part, absent)}")
    try:
        yield
    except (ImportError, OSError) as err:  # the latter: a shared library of torch
        if isinstance(err, ImportError) and (err.name or "").partition(".")[0] in OURS:
            raise  # a fault of ours
        _cannot_start(f"{err}; `frankensplit doctor --for {part}` tells more")


def _cannot_start(why: str) -> NoReturn:
    print(f"cannot start: {why}", file=sys.stderr)
    end_now(2)
