# SPDX-License-Identifier: Apache-2.0
"""Environment of the nodes: what they inherit, and the Fast DDS profile whose shared memory holds whole images."""

from __future__ import annotations

import os
from pathlib import Path

from frankensplit.fast_dds import PROFILE_VARIABLES, export_line

# ROS wheels restart Python once to name their libraries, and set this so that it happens once. A child looks again: it
# may run another Python. LD_LIBRARY_PATH stays as it is, since the libraries of overlays are found by nothing else.
WHEELS_GUARD = "_ROS_WHEELS_BOOTSTRAP_COMPLETE"


def inherited_environment() -> dict[str, str]:
    """Return this process's environment as a node in a process of its own needs it."""
    return {name: value for name, value in os.environ.items() if name != WHEELS_GUARD}


def profile_environment(profile: Path) -> dict[str, str]:
    """Name a Fast DDS profile in each variable that is not set already."""
    return {name: str(profile) for name in PROFILE_VARIABLES if name not in os.environ}


def driver_advice() -> list[str]:
    """Say what the process of a camera driver needs; nothing where this shell gives a profile to everything."""
    if any(name in os.environ for name in PROFILE_VARIABLES):
        return []
    told = "the Fast DDS profile is set for this node only; in the shell of the camera driver, which needs it most"
    return [f"{told}: {export_line()}"]
