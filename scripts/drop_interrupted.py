# SPDX-License-Identifier: Apache-2.0
"""Forget packages whose installation was interrupted, so that pip installs them again.

pip writes INSTALLER after the last file of a package, but trusts any .dist-info folder that it finds.
"""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path


def main() -> None:
    site_packages = Path(sysconfig.get_path("purelib"))
    unfinished = [info for info in site_packages.glob("*.dist-info") if not (info / "INSTALLER").is_file()]
    moved_aside = list(site_packages.glob("~*"))  # an interrupted upgrade left these
    for leftover in (*unfinished, *moved_aside):
        print(f"repairing {leftover.name}")
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


if __name__ == "__main__":
    main()
