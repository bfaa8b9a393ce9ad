# SPDX-License-Identifier: Apache-2.0
"""Environment of the nodes: the Fast DDS profile whose shared memory holds whole images."""

from __future__ import annotations

import os
from pathlib import Path

from frankensplit.fast_dds import PROFILE_VARIABLES


def profile_environment(profile: Path) -> dict[str, str]:
    """Name a Fast DDS profile in each variable that is not set already."""
    return {name: str(profile) for name in PROFILE_VARIABLES if name not in os.environ}
