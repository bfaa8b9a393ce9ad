# SPDX-License-Identifier: Apache-2.0
"""Where the files that come with the package lie: in the repository, or below ``share/`` of an installation."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def share_folders() -> list[Path]:
    """Return the folders that may hold ``bundles/`` and ``config/``: the repository first, then each prefix."""
    prefixes = [sys.prefix, *filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep))]
    installed = [Path(prefix) / "share" / "frankensplit" for prefix in prefixes]
    return [Path(__file__).resolve().parents[1], *installed]
