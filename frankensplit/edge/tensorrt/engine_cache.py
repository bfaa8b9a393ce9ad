# SPDX-License-Identifier: Apache-2.0
"""The folder where engines lie from one start to the next.

A plan can carry code, so a file is read only if nobody but this user could have written it: the folder belongs to
this user and is closed to others (0700), its parents can be written by this user or root alone, the file is a plain
one of mode 0600. Engines are written beside and renamed, so a reader sees a whole file or none; who builds holds a
lock that the system frees if the process dies.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from frankensplit.edge.tensorrt.container import MAGIC, MAX_BYTES, Container, EngineDamaged
from frankensplit.errors import RuntimeUnavailable
from frankensplit.places import cache_home, user_path
from frankensplit.writing import is_abandoned, temporary_name

ENGINE, TIMINGS, ASIDE, LOCK = ".engine", ".timings", ".bad", ".lock"
WRITTEN = re.compile(rf"({re.escape(ENGINE)}|{re.escape(TIMINGS)})\.[0-9]+")
KEEP, KEEP_ASIDE = 16, 2
LOCK_TIMEOUT_S = 1800.0
LOCK_POLL_S = 0.2
UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)
OTHERS = stat.S_IRWXG | stat.S_IRWXO
_log = logging.getLogger(__name__)


class CacheUnsafe(RuntimeUnavailable):
    """Another user could have written the folder's files."""


def engines_folder(chosen: Path | None, environment: Mapping[str, str] | None = None) -> Path:
    """Return the folder for TensorRT's engines: below the chosen one, else in the user's cache.

    Raises:
        RuntimeUnavailable: none is chosen and the user has no home.
    """
    if chosen is not None:
        return user_path(chosen).absolute() / "tensorrt"
    cache = cache_home(os.environ if environment is None else environment)
    if cache is None:
        raise RuntimeUnavailable(
            "no place for engines: this user has no home; set HOME or XDG_CACHE_HOME, or name a folder of engines"
        )
    return cache / "frankensplit" / "engines" / "tensorrt"


class EngineCache:
    """The engines in a folder, which is made when the first one is stored.

    Args:
        folder: as :func:`engines_folder` gives it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._warned = False

    def names(self) -> list[str]:
        """Return the names of the engines that lie here; raises CacheUnsafe, and OSError if it cannot be read."""
        with self._opened() as directory:
            found = [] if directory is None else os.listdir(directory)  # noqa: PTH208, pathlib has no descriptors
        return sorted(one.removesuffix(ENGINE) for one in found if one.endswith(ENGINE))

    def load(self, name: str) -> Container | None:
        """Return an engine, or None if there is none or it cannot be read.

        Raises:
            CacheUnsafe: somebody else could have written it.
            EngineDamaged: it is not what was written.
        """
        content = self._read(name + ENGINE)
        return None if content is None else Container.from_bytes(content)

    def store(self, name: str, container: Container) -> bool:
        """Keep an engine, whole or not at all; False, and once a warning, if the folder cannot be written."""
        return self._write(name + ENGINE, container.to_bytes())

    def timings(self, machine: str) -> bytes:
        """Return what TensorRT learnt about this machine's kernels, or nothing; damage is found by TensorRT."""
        return self._read(machine + TIMINGS) or b""

    def store_timings(self, machine: str, content: bytes) -> bool:
        """Keep what TensorRT learnt."""
        return self._write(machine + TIMINGS, content)

    def set_aside(self, name: str, reason: object) -> None:
        """Put a bad engine where it is not used but can be looked at."""
        _log.warning("engine %s is set aside: %s", self.folder / (name + ENGINE), str(reason))
        with suppress(OSError), self._opened() as directory:
            if directory is not None:
                os.replace(name + ENGINE, name + ASIDE, src_dir_fd=directory, dst_dir_fd=directory)

    def touch(self, name: str) -> None:
        """Note that an engine was used; the least recently used go first."""
        with suppress(OSError), self._opened() as directory:
            if directory is not None:
                os.utime(name + ENGINE, dir_fd=directory, follow_symlinks=False)

    def prune(self, keep: int = KEEP) -> list[str]:
        """Delete all but the last used engines, and what processes that died left; return the engines that went."""
        gone: list[str] = []
        with suppress(OSError), self._opened() as directory:
            if directory is None:
                return []
            gone = _oldest(directory, ENGINE, keep)
            there = os.listdir(directory)  # noqa: PTH208, pathlib has no descriptors
            halves = [name for name in there if WRITTEN.search(name) and is_abandoned(name)]
            for name in (*gone, *_oldest(directory, ASIDE, KEEP_ASIDE), *halves):
                with suppress(OSError):
                    os.unlink(name, dir_fd=directory)
        return [name.removesuffix(ENGINE) for name in gone]

    @contextmanager
    def lock(
        self,
        name: str,
        timeout_s: float = LOCK_TIMEOUT_S,
        waiting: Callable[[], None] = lambda: None,
    ) -> Iterator[None]:
        """Hold the lock of an engine; without one where the folder cannot be written.

        Args:
            name: of the engine.
            timeout_s: how long to wait for another process that builds it.
            waiting: called again and again while another holds it; may raise.

        Raises:
            RuntimeUnavailable: it was held all the time.
        """
        descriptor = self._open_lock(name)
        try:
            if descriptor is not None:
                _take(descriptor, self.folder / (name + LOCK), timeout_s, waiting)
            yield
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _open_lock(self, name: str) -> int | None:
        try:
            with self._opened(create=True) as directory:
                flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
                return os.open(name + LOCK, flags, 0o600, dir_fd=directory)
        except OSError as err:
            self._cannot_write(err)
            return None

    @contextmanager
    def _opened(self, *, create: bool = False) -> Iterator[int | None]:
        """Give a descriptor of the folder after it was checked; None if there is no folder."""
        if create:
            _make_folders(self.folder)
        try:
            directory = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            yield None
            return
        except OSError as err:
            if err.errno in (errno.ELOOP, errno.ENOTDIR):
                raise CacheUnsafe(f"{self.folder} is a link or a file, not a folder") from err
            raise
        try:
            _check_owned(os.fstat(directory), self.folder, "chmod 700")
            _check_parents(self.folder)
            yield directory
        finally:
            os.close(directory)

    def _read(self, file_name: str) -> bytes | None:
        path = self.folder / file_name
        try:
            with self._opened() as directory:
                if directory is None:
                    return None
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                descriptor = os.open(file_name, flags, dir_fd=directory)
        except FileNotFoundError:
            return None
        except OSError as err:
            if err.errno == errno.ELOOP:
                raise CacheUnsafe(f"{path} is a link, expected a file: delete it") from err
            _log.warning("engine %s cannot be read: %s", path, err.strerror)
            return None
        try:
            found = os.fstat(descriptor)
            _check_owned(found, path, "delete it, or chmod 600")
            if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_BYTES:
                raise EngineDamaged(f"{path} is not a plain file of at most {MAX_BYTES} bytes")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return file.read()
        finally:
            os.close(descriptor)

    def _write(self, file_name: str, content: bytes) -> bool:
        try:
            with self._opened(create=True) as directory:
                assert directory is not None
                _write_whole(directory, file_name, content)
        except OSError as err:
            self._cannot_write(err)
            return False
        return True

    def _cannot_write(self, err: OSError) -> None:
        if err.errno not in UNWRITABLE:
            raise RuntimeUnavailable(f"engines cannot be kept in {self.folder}: {err}") from err
        if not self._warned:
            _log.warning("engines cannot be kept in %s: %s", self.folder, err.strerror)
        self._warned = True


def _write_whole(directory: int, file_name: str, content: bytes) -> None:
    temporary = temporary_name(file_name)
    with suppress(FileNotFoundError):  # left by a dead process with the same id
        os.unlink(temporary, dir_fd=directory)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600, dir_fd=directory)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, file_name, src_dir_fd=directory, dst_dir_fd=directory)
        os.fsync(directory)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=directory)
        raise


def _take(descriptor: int, path: Path, timeout_s: float, waiting: Callable[[], None]) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise RuntimeUnavailable(
                    f"another process has been building this engine for {timeout_s:.0f} s ({path} is locked); wait for "
                    "it or end it, then try again"
                ) from None
        waiting()
        time.sleep(LOCK_POLL_S)


def _check_owned(found: os.stat_result, path: Path, remedy: str) -> None:
    if found.st_uid != os.geteuid():
        raise CacheUnsafe(
            f"{path} belongs to user {found.st_uid}, expected {os.geteuid()}, your own: an engine may hold code; "
            "delete it or choose another folder of engines"
        )
    if found.st_mode & OTHERS:
        mode = stat.S_IMODE(found.st_mode)
        raise CacheUnsafe(f"{path} has mode {mode:04o}, expected none for group and others: {remedy} {path}")


def _check_parents(folder: Path) -> None:
    """Whoever may write a parent may put another folder in place, unless the parent is sticky like ``/tmp``.

    What lies below a folder that nobody else may enter is out of reach, whatever its mode.
    """
    exposed: list[tuple[Path, os.stat_result]] = []
    for parent in folder.parent.resolve(), *folder.parent.resolve().parents:
        found = parent.stat()
        own = found.st_uid in (0, os.geteuid())
        if own and not found.st_mode & (stat.S_IXGRP | stat.S_IXOTH):
            exposed.clear()
        elif not own or (found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not found.st_mode & stat.S_ISVTX):
            exposed.append((parent, found))
    for parent, found in exposed:
        raise CacheUnsafe(
            f"{parent}, above the engines, can be written by others (user {found.st_uid}, mode "
            f"{stat.S_IMODE(found.st_mode):04o}): chmod go-w {parent}, or choose another folder of engines"
        )


def _make_folders(folder: Path) -> None:
    """Make what is missing of a path, all of it for this user alone."""
    for one in reversed([folder, *folder.parents]):
        with suppress(FileExistsError):
            if not one.exists():
                one.mkdir(mode=0o700)


def _oldest(directory: int, suffix: str, keep: int) -> list[str]:
    """Return the files with a suffix beyond the ``keep`` newest."""
    dated = []
    for name in os.listdir(directory):
        if name.endswith(suffix) and (suffix != ENGINE or _is_ours(directory, name)):
            with suppress(OSError):
                dated.append((os.stat(name, dir_fd=directory, follow_symlinks=False).st_mtime_ns, name))
    return [name for _, name in sorted(dated, reverse=True)[keep:]]


def _is_ours(directory: int, name: str) -> bool:
    """Tell whether a file begins as our engines do; who names a folder may keep engines of other programs there."""
    with suppress(OSError):
        descriptor = os.open(
            name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory
        )
        try:
            return os.read(descriptor, len(MAGIC)) == MAGIC
        finally:
            os.close(descriptor)
    return False
