# SPDX-License-Identifier: Apache-2.0
"""Point the CMake files of the ROS wheels at this environment's Python and numpy headers.

The exported targets name the include folders of the container that built the wheels, and CMake refuses
targets with folders that do not exist. Run inside the environment after each installation of ros-* wheels;
a second run changes nothing.
"""

from __future__ import annotations

import re
import sys
import sysconfig
from pathlib import Path

import numpy

BUILD_PYTHON = r'[^;" ]*/python/cp\d+-cp\d+'
REPLACEMENTS = {
    rf"{BUILD_PYTHON}/include/python[\d.]+": sysconfig.get_path("include"),
    rf"{BUILD_PYTHON}/lib/python[\d.]+/site-packages/numpy/_core/include": numpy.get_include(),
}


def patch(path: Path) -> bool:
    """Replace the build machine's folders in one CMake file; return whether it changed."""
    before = path.read_text()
    after = before
    for pattern, folder in REPLACEMENTS.items():
        after = re.sub(pattern, lambda _match, folder=folder: folder, after)
    if after != before:
        path.write_text(after)
    return after != before


def main() -> None:
    files = Path(sys.prefix, "share").rglob("*.cmake")
    print(f"patched {sum(patch(path) for path in files)} CMake files of the ROS wheels")


if __name__ == "__main__":
    main()
