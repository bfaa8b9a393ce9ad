# SPDX-License-Identifier: Apache-2.0
"""Where files lie: those that come with the package, data sets, and what may be made again."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


def user_path(text: str | Path) -> Path:
    """Return a path with ``~`` for a home; of a user who is unknown it stays, since Path's own raises there."""
    return Path(os.path.expanduser(text))  # noqa: PTH111


def cache_home(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the user's cache: ``XDG_CACHE_HOME`` where it is absolute, as its standard wants it, else in the home.

    None: the user has no home, such as an unknown one in a container.
    """
    named = environ.get("XDG_CACHE_HOME", "")
    if named.startswith("/"):
        return Path(named)
    home = user_path("~")
    return home / ".cache" if home.is_absolute() else None


DATA_ROOT = Path(os.environ.get("FRANKENSPLIT_DATA") or "../shared/datasets")
CACHE = (cache_home() or Path("/.cache")) / "frankensplit"


@contextmanager
def cache_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder of the cache; one that goes afterwards where it cannot be written, which is said."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as err:
        print(
            f"note: no cache, {folder} cannot be written: {err.strerror}; set XDG_CACHE_HOME", file=sys.stderr
        )
    else:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="frankensplit-") as instead:
        yield Path(instead)


def share_folders() -> list[Path]:
    """Return the folders that may hold ``bundles/`` and ``config/``.

    The repository first, then ``share/`` of each prefix of an installation.
    """
    prefixes = [sys.prefix, *filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep))]
    installed = [Path(prefix) / "share" / "frankensplit" for prefix in prefixes]
    return [Path(__file__).resolve().parents[1], *installed]
