# SPDX-License-Identifier: Apache-2.0
"""Open rosbags of strangers: what a few kilobytes may become is bounded, and nothing of a bag is a program."""

from __future__ import annotations

import io
import os
import shutil
import struct
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from frankensplit.data.limits import MAX_CAUSE, MIB, read_yaml, require_file
from frankensplit.data.names import listed
from frankensplit.errors import DataError, one_line, shown

BAG_FILES = (".db3", ".mcap")
BAG_INDEX = "metadata.yaml"
# Limit for a chunk or message: an 8K image of 16-bit RGBA has 253 MiB, recorders make chunks of 4 MiB.
MAX_RECORD_BYTES = 256 * MIB
# Chunks whose times overlap are in memory together; in a bag that is in order, these are one or two.
MAX_OPEN_BYTES = 1024 * MIB
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
MCAP_MAGIC = b"\x89MCAP0\r\n"
MCAP_END = bytes((2, 20)) + bytes(7 + 20) + MCAP_MAGIC  # a footer without a summary
RECORD_HEAD = struct.Struct("<BQ")  # kind, bytes that follow
CHUNK = 6
# The record's head, times, bytes, checksum, bytes of the compression's name.
CHUNK_HEAD = struct.Struct("<BQQQQII")
TABLES = ("messages", "topics", "message_definitions", "schema")  # the tables that we read from a db3
GENERATED = (2, 3)  # `hidden` of a column that is computed, virtual and stored


def open_reader(path: Path) -> Any:
    """Open a bag's folder, or a single ``.db3`` or ``.mcap`` of it, and return its ``rosbags`` storage reader.

    A file is read alone, whatever an index beside it says. Of one that was cut off, what is whole is read, and of a
    database also what a killed recorder left in its ``-wal``.

    Raises:
        DataError: a file of it is not a regular file, it stands for more than the bounds of this module, or it is
            damaged.
    """
    try:
        from rosbags.rosbag2 import Reader
    except ImportError as err:
        raise DataError(f"cannot read rosbag {path}: {err}; `pip install rosbags`") from err

    _bound_rosbags()
    if path.is_dir():
        try:
            read_yaml(path / BAG_INDEX)
        except DataError as err:
            raise DataError(f"cannot open rosbag {path}: {err}; {_advice(path, '')}") from err
    for file in path.iterdir() if path.is_dir() else [path, *filter(Path.exists, journals(path))]:
        if not file.is_dir():
            require_file(file)
    plugin: Any = Reader.STORAGE_PLUGINS["dir" if path.is_dir() else path.suffix.lower()]
    reader = plugin(path)
    try:
        reader.open()
    except DataError as err:
        raise DataError(f"cannot open rosbag {path}: {err}") from err
    # A damaged bag fails in its yaml, its sqlite or its chunks, each with errors of its own.
    except Exception as err:
        if path.is_dir():
            _require_good(path)
        what = "it was not recorded by ROS 2" if "Profile is not" in str(err) else _advice(path, str(err))
        raise DataError(f"cannot open rosbag {path}: {_words(err)}; {what}") from err
    storages = getattr(reader, "storages", [reader])
    try:
        _require_few_open(path, [chunk for one in storages for chunk in getattr(one, "chunks", [])])
    except DataError:
        reader.close()
        raise
    return reader


def read_messages(reader: Any, path: Path, connections: Sequence[Any]) -> Iterator[tuple[Any, int, bytes]]:
    """Yield connection, time of recording in nanoseconds, and message; one that is compressed alone is decompressed.

    Raises:
        DataError: the bag is damaged.
    """
    zstd = _BoundedZstd()
    try:
        for connection, recorded_ns, data in reader.messages(connections):
            # A message in CDR begins with 0; only an index says that each is compressed, and it may be missing.
            yield connection, recorded_ns, zstd.decompress(data) if data[:4] == ZSTD_MAGIC else data
    except DataError as err:
        raise DataError(f"rosbag {path}: {err}") from err
    except Exception as err:  # the errors of rosbags and its dependencies share no base class
        raise DataError(f"rosbag {path} is damaged: {_words(err)}; {_advice(path, str(err))}") from err


def cut_off(reader: Any) -> list[str]:
    """Return a note for each file of a bag that was cut off."""
    return [
        f"{one.path} was cut off, as by a recorder that was killed: {one.bio.rest} bytes behind its last whole record "
        f"are not read; `mcap recover` may find more"
        for one in getattr(reader, "storages", [reader])
        if isinstance(getattr(one, "bio", None), _CutFile)
    ]


def journals(file: Path) -> tuple[Path, Path]:
    """Return where SQLite keeps what is not in a database's own file yet, and the index of that."""
    return file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")


def _words(err: Exception) -> str:
    return one_line(str(err) or type(err).__name__, MAX_CAUSE)


def _require_good(folder: Path) -> None:
    """Raise DataError of the first bad file of a bag that does not open; else its index is at fault."""
    for file in listed(folder):
        if file.suffix.lower() in BAG_FILES:
            open_reader(file).close()


def _advice(path: Path, cause: str) -> str:
    """Return the command that makes a bag readable again."""
    if path.is_dir() and "files are missing" in cause:
        there = [str(file) for file in listed(path) if file.suffix.lower() in BAG_FILES]
        return (
            f"copy them there, or give one that is there ({', '.join(there)}), or let `ros2 bag reindex {path}` write "
            f"{BAG_INDEX} again"
            if there
            else f"it has {BAG_INDEX} and no file of messages: copy them there"
        )
    if path.is_dir():
        return f"if {BAG_INDEX} does not fit the files, `ros2 bag reindex {path}` writes it again"
    if not path.stat().st_size:
        return "nothing was written to it: record again"
    if path.suffix.lower() == ".mcap":
        return f"`mcap recover {path} -o recovered.mcap` saves what is whole"
    return (
        f"`sqlite3 {path} .recover | sqlite3 recovered.db3` saves what is whole; of a recorder that was killed, copy "
        f"{path.name}-wal as well, which holds its last messages"
    )


@cache
def _bound_rosbags() -> None:
    """Give ``rosbags`` bounds where it has none, and let it read what a killed recorder left.

    Bounded are records, decompression, and YAML in strings that is not needed.
    """
    import apsw

    modules: list[Any] = [
        import_module(f"rosbags.rosbag2.{name}") for name in ("reader", "storage_mcap", "storage_sqlite3")
    ]
    reader, storage_mcap, storage_sqlite3 = modules
    for module in (reader, storage_mcap):
        module.zstd = _BoundedZstd()
    storage_mcap.lz4_decompress = _lz4
    storage_mcap.read_exact = _read_exact
    open_whole = storage_mcap.McapReader._open
    storage_mcap.McapReader._open = lambda reader: open_whole(_mended(reader))
    storage_sqlite3.apsw = _Apsw()
    # Qualities of service are YAML whose merge keys can stand for gigabytes; frames do not need them.
    for module in modules:
        module.parse_qos = _no_qos
    apsw.connection_hooks.append(_bound_database)


class _Apsw:
    """The module ``apsw``; a database is opened as it is on disk, with its ``-wal`` where there is one."""

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module("apsw"), name)

    def Connection(self, name: str, **options: Any) -> Any:  # noqa: N802  # apsw's name
        """Open ``file:PATH?immutable=1``; immutable leaves a ``-wal`` out, and a path may have a ``?`` itself."""
        path = Path(name.removeprefix("file:").removesuffix("?immutable=1"))
        unread, shared = journals(path)
        mode = "immutable=1"
        if unread.exists() and unread.stat().st_size:
            # "ro" lets SQLite create the missing one.
            mode = "mode=ro&readonly_shm=1" if shared.exists() else "mode=ro"
        return import_module("apsw").Connection(f"{path.absolute().as_uri()}?{mode}", **options)


def _mended(reader: Any) -> Any:
    """Return the reader of an mcap; a file that was cut off ends with its last whole record."""
    file = reader.bio
    file.seek(-min(len(MCAP_MAGIC), file.seek(0, os.SEEK_END)), os.SEEK_END)
    ends = file.read() == MCAP_MAGIC
    file.seek(0)
    if not ends and file.read(len(MCAP_MAGIC)) == MCAP_MAGIC:
        reader.bio = _CutFile(file)
    reader.bio.seek(0)
    return reader


class _CutFile(io.BufferedReader):
    """An mcap without its end, as if it had been closed behind its last whole record.

    The records of a chunk that was begun follow without the chunk, which the format allows. ``rest`` counts the bytes
    behind that are not read.
    """

    def __init__(self, file: BinaryIO) -> None:
        size = file.seek(0, os.SEEK_END)
        end = _records_end(file, len(MCAP_MAGIC), size)
        chunk = _begun_chunk(file, end)
        tail = chunk[: _records_end(io.BytesIO(chunk), 0, len(chunk))]
        self.rest = size - end - len(tail)
        super().__init__(_Joined(file, end, tail + MCAP_END))


class _Joined(io.RawIOBase):
    """The first ``size`` bytes of a file, then others."""

    def __init__(self, file: BinaryIO, size: int, others: bytes) -> None:
        self._file, self._size, self._others, self._at = file, size, others, 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        ends = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size + len(self._others)}
        self._at = ends[whence] + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read from the file, or from what follows."""
        wanted = len(buffer)
        if self._at < self._size:
            self._file.seek(self._at)
            data = self._file.read(min(wanted, self._size - self._at))
        else:
            data = self._others[self._at - self._size :][:wanted]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def _records_end(file: BinaryIO, start: int, size: int) -> int:
    """Return where the last whole record ends; a recorder never writes kind 0, a file system after a crash does."""
    at = start
    while True:
        file.seek(at)
        head = file.read(RECORD_HEAD.size)
        if len(head) < RECORD_HEAD.size:
            return at
        kind, length = RECORD_HEAD.unpack(head)
        if kind == 0 or at + RECORD_HEAD.size + length > size:
            return at
        at += RECORD_HEAD.size + length


def _begun_chunk(file: BinaryIO, at: int) -> bytes:
    """Return the records in the chunk at a place whose end is missing, as far as they can be decompressed."""
    file.seek(at)
    head = file.read(CHUNK_HEAD.size)
    if len(head) < CHUNK_HEAD.size:
        return b""
    kind, *_, name_bytes = CHUNK_HEAD.unpack(head)
    if kind != CHUNK or name_bytes > len("zstd"):
        return b""
    compression = file.read(name_bytes)
    data = file.read(8 + MAX_RECORD_BYTES)[8:]
    try:
        if compression == b"zstd":
            return bytes(_zstd().ZstdDecompressor().decompress(data, MAX_RECORD_BYTES))
        if compression == b"lz4":
            lz4 = import_module("lz4.frame").LZ4FrameDecompressor()
            return bytes(lz4.decompress(data, max_length=MAX_RECORD_BYTES))
    except Exception:  # each library has an error of its own
        return b""
    return b"" if compression else data


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
