# SPDX-License-Identifier: Apache-2.0
"""Name files that are not data for us yet, such as archives and bags of ROS 1, and the command that makes them so."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

from frankensplit.data.limits import require_file
from frankensplit.errors import DataError, shown

# A file's first bytes, its format, and the command that converts it; {out} is the name of the result.
_KINDS = (
    (
        b"#ROSBAG V",
        "a bag of ROS 1",
        "`rosbags-convert --src {file} --dst {out}` makes one of ROS 2 from it",
    ),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "`zstd -d {file} -o {out}`"),
    (b"\x04\x22\x4d\x18", "compressed by lz4", "`lz4 -d {file} {out}`"),
    (b"\x1f\x8b", "compressed by gzip", "`gunzip -c {file} > {out}`"),
    (b"BZh", "compressed by bzip2", "`bunzip2 -c {file} > {out}`"),
    (b"\xfd7zXZ\0", "compressed by xz", "`unxz -c {file} > {out}`"),
    (b"PK\x03\x04", "a zip archive", "`unzip {file} -d {out}`"),
    (b"PK\x05\x06", "a zip archive with nothing in it", "pack it again"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "`7z x {file} -o{out}`"),
    (b"Rar!\x1a\x07", "a rar archive", "`unrar x {file} {out}/`"),
)
_PACKED = (".zst", ".zstd", ".lz4", ".gz", ".bz2", ".xz", ".zip", ".7z", ".rar", ".bag")  # endings that go
_TARS = (".tgz", ".tbz", ".tbz2", ".txz", ".tzst")  # these unpack to a .tar
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
            command = command.format(file=quote(str(path)), out=quote(str(_unpacked(path))))
            return f"{path} is {what}: {command}, then give the result"
    return None


def _unpacked(path: Path) -> Path:
    """Return a name beside a packed file for what is in it, which says by its ending what that is."""
    ending = path.suffix.lower()
    if ending in _TARS:
        return path.with_suffix(".tar")
    return path.with_suffix("") if ending in _PACKED else path.with_name(f"unpacked-{path.name}")
