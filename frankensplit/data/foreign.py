# SPDX-License-Identifier: Apache-2.0
"""Name files that are not data for us yet, such as archives and bags of ROS 1, and the command that makes them so."""

from __future__ import annotations

from pathlib import Path

from frankensplit.data.limits import require_file
from frankensplit.errors import DataError, shown

# What a file begins with, what it is, and the command.
_KINDS = (
    (
        b"#ROSBAG V",
        "a bag of ROS 1",
        "`rosbags-convert --src {file} --dst {stem}` makes one of ROS 2 from it",
    ),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "`zstd -d {file}`"),
    (b"\x04\x22\x4d\x18", "compressed by lz4", "`lz4 -d {file}`"),
    (b"\x1f\x8b", "compressed by gzip", "`gunzip {file}`"),
    (b"BZh", "compressed by bzip2", "`bunzip2 {file}`"),
    (b"\xfd7zXZ\0", "compressed by xz", "`unxz {file}`"),
    (b"PK\x03\x04", "a zip archive", "`unzip {file}`"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "`7z x {file}`"),
    (b"Rar!\x1a\x07", "a rar archive", "`unrar x {file}`"),
)
_MOST = max(len(magic) for magic, _, _ in _KINDS)


def foreign(path: Path) -> str | None:
    """Return what a file is that has to be converted or unpacked first, and how; None: it is none of these.

    Raises:
        DataError: it is not a regular file, or cannot be read.
    """
    require_file(path)
    try:
        with path.open("rb") as file:
            head = file.read(_MOST)
    except OSError as err:
        raise DataError(f"cannot read {shown(str(path))}: {err.strerror}") from err
    for magic, what, command in _KINDS:
        if head.startswith(magic):
            return f"{path} is {what}: {command.format(file=path, stem=path.with_suffix(''))}, then give the result"
    return None
