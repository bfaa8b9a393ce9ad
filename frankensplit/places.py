# SPDX-License-Identifier: Apache-2.0
"""Where files lie: those that come with the package, data sets, and what may be made again."""

from __future__ import annotations

import os
import sys
from pathlib import Path

DATA_ROOT = Path(os.environ.get("FRANKENSPLIT_DATA", "../shared/datasets"))
CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "frankensplit"


def share_folders() -> list[Path]:
    """Return the folders that may hold ``bundles/`` and ``config/``.

    The repository first, then ``share/`` of each prefix of an installation.
    """
    prefixes = [sys.prefix, *filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep))]
    installed = [Path(prefix) / "share" / "frankensplit" for prefix in prefixes]
    return [Path(__file__).resolve().parents[1], *installed]
