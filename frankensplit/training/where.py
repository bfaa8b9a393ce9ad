# SPDX-License-Identifier: Apache-2.0
"""Where a training finds what it needs, and where it runs."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Where(NamedTuple):
    """Folder of the runs, folder of the data sets, and torch device."""

    runs: Path
    data_root: Path
    device: str = "cpu"
