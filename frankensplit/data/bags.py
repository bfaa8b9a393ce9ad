# SPDX-License-Identifier: Apache-2.0
"""Open rosbags of strangers: what a few kilobytes may become is bounded, and nothing of a bag is a program."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from frankensplit.data.limits import MIB, read_yaml, require_file
from frankensplit.errors import DataError, shown

BAG_FILES = (".db3", ".mcap")
BAG_INDEX = "metadata.yaml"
# A chunk or message: an 8K image of 16-bit RGBA has 253 MiB, recorders make chunks of 4.
MAX_RECORD_BYTES = 256 * MIB
# Chunks whose times overlap are in memory together: of a bag in order, one or two.
MAX_OPEN_BYTES = 1024 * MIB
TABLES = ("messages", "topics", "message_definitions", "schema")  # that are read of a db3
GENERATED = (2, 3)  # `hidden` of a column that is computed, virtual and stored


def open_reader(path: Path) -> Any:
    """Open a bag's folder, ``.db3`` or ``.mcap`` and return its ``rosbags`` reader.

    Raises:
        DataError: a file of it is not a regular file, or it stands for more than the bounds of this module.
        Exception: it is damaged; ``rosbags`` and what it is made of share no base.
    """
    from rosbags.rosbag2 import Reader

    _bound_rosbags()
    if path.is_dir():
        read_yaml(path / BAG_INDEX)
    for file in path.iterdir() if path.is_dir() else [path]:
        if not file.is_dir():
            require_file(file)
    reader = Reader(path)
    reader.open()
    storages = getattr(reader.storage, "storages", [reader.storage])
    try:
        _require_few_open(path, [chunk for one in storages for chunk in getattr(one, "chunks", [])])
    except DataError:
        reader.close()
        raise
    return reader


def _bound_rosbags() -> None:
    """Give ``rosbags`` bounds where it has none: records, decompression, and YAML in strings that is not needed."""
    import apsw

    modules: list[Any] = [
        import_module(f"rosbags.rosbag2.{name}") for name in ("reader", "storage_mcap", "storage_sqlite3")
    ]
    reader, storage_mcap, _ = modules
    for module in (reader, storage_mcap):
        module.zstd = _BoundedZstd()
    storage_mcap.lz4_decompress = _lz4
    storage_mcap.read_exact = _read_exact
    # Qualities of service are YAML whose merge keys can stand for gigabytes; frames do not need them.
    for module in modules:
        module.parse_qos = _no_qos
    if _bound_database not in apsw.connection_hooks:
        apsw.connection_hooks.append(_bound_database)


class _BoundedZstd:
    """The module ``zstd`` with bounded decompression."""

    def __getattr__(self, name: str) -> Any:
        return getattr(_zstd(), name)

    def decompress(self, data: bytes) -> bytes:
        """Decompress a chunk or a message, of one frame or several."""
        found, zstd = bytearray(), _zstd()
        while data:
            decompressor = zstd.ZstdDecompressor()
            found += decompressor.decompress(data, MAX_RECORD_BYTES + 1 - len(found))
            _require_payable("chunk or message decompresses to", len(found))
            if not decompressor.eof:
                raise EOFError("compressed data are cut off")
            data = decompressor.unused_data
        return bytes(found)

    def open(self, file: BinaryIO, mode: str) -> Any:
        """Open a compressed storage file, which is decompressed to the temporary folder."""
        return _Bounded(_zstd().open(file, mode), shutil.disk_usage(tempfile.gettempdir()).free // 2)


class _Bounded:
    """A file that ends with an error after ``left`` bytes: half of the disk is left to others."""

    def __init__(self, file: Any, left: int) -> None:
        self._file, self._left = file, left

    def __enter__(self) -> _Bounded:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, size: int) -> bytes:
        data: bytes = self._file.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise DataError(
                f"the bag's file decompresses to more than half of what is free in {tempfile.gettempdir()}: "
                "set TMPDIR to a larger disk"
            )
        return data


def _zstd() -> Any:
    return import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")


def _lz4(data: bytes) -> bytes:
    found: bytes = (
        import_module("lz4.frame").LZ4FrameDecompressor().decompress(data, max_length=MAX_RECORD_BYTES + 1)
    )
    _require_payable("chunk decompresses to", len(found))
    return found


def _read_exact(bio: BinaryIO, size: int) -> bytes:
    _require_payable("record declares", size)
    data = bio.read(size)
    if len(data) != size:
        raise EOFError(f"record of {size} bytes at byte {bio.tell() - len(data)} is cut off")
    return data


def _require_payable(what: str, size: int) -> None:
    """Raise DataError where a record, compressed or not, is larger than any image."""
    if size > MAX_RECORD_BYTES:
        raise DataError(f"{what} {size} bytes or more, at most {MAX_RECORD_BYTES} are read")


def _no_qos(_: object) -> list[Any]:
    return []


def _bound_database(connection: Any) -> None:
    """Bound values, and refuse those that are computed: to query them is to run a program, perhaps an endless one."""
    import apsw

    connection.limit(apsw.SQLITE_LIMIT_LENGTH, MAX_RECORD_BYTES)
    bad = list(_computed(connection))
    if bad:
        raise DataError(
            f"its database computes {', '.join(map(shown, bad))} when it is read: record it again"
        )


def _computed(connection: Any) -> Iterator[str]:
    marks = ", ".join("?" * len(TABLES))
    for name, kind, sql in connection.execute(
        f"SELECT name, type, substr(sql, 1, 40) FROM sqlite_master WHERE lower(name) IN ({marks})", TABLES
    ).fetchall():
        if kind != "table" or "VIRTUAL" in str(sql).upper():
            yield str(name)
    for table in TABLES:
        for column in connection.execute(f"PRAGMA table_xinfo({table})").fetchall():
            if column[6] in GENERATED:
                yield f"{table}.{column[1]}"


def _require_few_open(path: Path, chunks: Sequence[Any]) -> None:
    """Refuse an index by which too many chunks would be in memory together: each is from its first time to its last."""
    for one in chunks:
        _require_payable("chunk declares", one.uncompressed_size)
    changes = [(one.message_start_time, 0, one.uncompressed_size) for one in chunks]
    changes += [(one.message_end_time, 1, -one.uncompressed_size) for one in chunks]
    held = 0
    for _, _, size in sorted(changes):
        held += size
        if held > MAX_OPEN_BYTES:
            raise DataError(
                f"rosbag {path} has chunks of the same time with more than {MAX_OPEN_BYTES} bytes: sort it with "
                "`mcap sort`"
            )
