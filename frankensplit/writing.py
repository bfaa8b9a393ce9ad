# SPDX-License-Identifier: Apache-2.0
"""Write files and folders whole or not at all; replace only what this package wrote.

What is not finished lies beside its place as ``.NAME.PID.frankensplit``, so that the last step is a rename; what a
process that died left behind is removed by the next one that writes there. Nobody else gives files such names.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from frankensplit.errors import OutputError

TEMPORARY = re.compile(r"\.(?P<name>.+)\.(?P<pid>[1-9][0-9]{0,9})\.frankensplit", re.DOTALL)
OLD = "old"  # `.NAME.old.PID.frankensplit` is the folder that another is about to replace
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM, errno.EXDEV, errno.EBUSY, errno.ENAMETOOLONG)
CANNOT = (*FULL, *REFUSED)
# Some network file systems.
UNLOCKABLE = (errno.EBADF, errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS)


@dataclass(frozen=True)
class FolderKind:
    """The files of one kind of folder; a folder that holds anything else must not be replaced or written into.

    Args:
        name: of the kind, as errors say it.
        files: matches the whole path of each file in such a folder, relative and with ``/``.
        folders: those below it, likewise.
        is_one: tells such a folder from one whose files only have the same names.
    """

    name: str
    files: re.Pattern[str]
    folders: frozenset[str] = frozenset()
    is_one: Callable[[Path], bool] = field(default=lambda folder: True)

    def owns(self, path: str, entry: os.DirEntry[str]) -> bool:
        """Tell whether such a folder may hold this entry; ``path`` is relative to it."""
        if entry.is_symlink():
            return False
        if entry.is_dir():
            return path in self.folders
        folder, _, name = path.rpartition("/")
        unfinished = TEMPORARY.fullmatch(name)
        names = (name, unfinished["name"]) if unfinished else (name,)
        return entry.is_file() and any(self.has_file(folder, one) for one in names)

    def has_file(self, folder: str, name: str) -> bool:
        """Tell whether such a folder may hold a file of this name, in itself (``""``) or in a folder below it."""
        return self.files.fullmatch(f"{folder}/{name}" if folder else name) is not None


def check_file(path: Path) -> None:
    """Refuse a path that no file can be written to; what stands there is asked only whether it is a folder.

    Raises:
        OutputError: a folder is there, or the folder above cannot be written.
    """
    with _named(path):
        if path.is_dir():
            raise OutputError(f"cannot write {path}: it is a folder, expected the path of a file: name one")
        if not _is_device(path):
            _check_writable(path, path.absolute().parent)


def check_folder(out: Path, kind: FolderKind | None = None) -> Path:
    """Refuse a folder that would be written over something else.

    Args:
        out: may be missing, an empty folder, or a folder of the kind that holds nothing else.
        kind: what may be there; None: nothing may.

    Returns:
        Its path, absolute, without links.

    Raises:
        OutputError: something else is there, or the folder above cannot be written.
    """
    with _named(out):
        place = out.parent.resolve() / out.name if out.name not in ("", "..") else out.resolve()
        obstacle = _obstacle(place, kind)
        if obstacle:
            raise OutputError(
                f"cannot write {out}: {obstacle}; nothing was changed: name another folder, or move it"
            )
        _check_writable(out, place if place.is_dir() else place.parent)
    return place


def check_replaceable(out: Path, kind: FolderKind) -> Path:
    """Refuse, beyond ``check_folder``, a folder that cannot be moved aside: the current one, a home, a mount."""
    place = check_folder(out, kind)
    with _named(out):
        for used in (Path.cwd(), Path(os.environ.get("HOME") or "/")):
            if place in (used.resolve(), *used.resolve().parents):
                raise OutputError(f"cannot write {out}: it is or contains {used}: name a new folder")
        if place.is_mount():
            raise OutputError(f"cannot write {out}: a file system is mounted there: name a folder in it")
        _check_writable(out, place.parent)
    return place


def write_file(path: Path, content: bytes | memoryview | str) -> None:
    """Write a file, whole or not at all; until then the one before stays. Text becomes UTF-8.

    A device or pipe is written to as it is, a link stays one, missing folders are made.

    Raises:
        OutputError: a folder is there, the disk is full, or it may not be written.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    check_file(path)
    with _named(path):
        if _is_device(path):
            path.write_bytes(data)
            return
        place = path.resolve()
        place.parent.mkdir(parents=True, exist_ok=True)
        _sweep(place.parent, lambda name: name == place.name)
        temporary = temporary_of(place)
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(place)
        except BaseException:
            _remove(temporary)
            raise
        _sync(place.parent)


def is_abandoned(name: str) -> bool:
    """Tell whether a file's name is that of a temporary whose process is gone."""
    found = TEMPORARY.fullmatch(name)
    return found is not None and int(found["pid"]) != os.getpid() and not _lives(int(found["pid"]))


@contextmanager
def new_folder(out: Path, kind: FolderKind) -> Iterator[Path]:
    """Yield an empty folder that takes the place of ``out`` when the block ends well, and goes when it does not.

    Where ``out`` exists, at no moment is a half one there: it is moved aside, and back if what follows does not
    happen, by the next call if need be. One process at a time.

    Raises:
        OutputError: ``out`` is not of the kind, another process writes it, or the disk is full or may not be written.
    """
    check_replaceable(out, kind)
    with _named(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    place = check_replaceable(out, kind)
    with _named(out, CANNOT), _locked(place.with_name(f".{place.name}.lock"), out):
        _recover(place, kind)
        check_replaceable(out, kind)  # another process may have written while it had the lock
        new, old = temporary_of(place), temporary_of(place.with_name(f"{place.name}.{OLD}"))
        new.mkdir()
        try:
            yield new
            for path in (*new.rglob("*"), new):
                _sync(path)
            check_replaceable(out, kind)
            if place.exists():
                place.rename(old)
            new.rename(place)
        except BaseException:
            _remove(new)
            _recover(place, kind)
            raise
        _sync(place.parent)
        _remove(old)


@contextmanager
def kept_folder(out: Path, kind: FolderKind) -> Iterator[Path]:
    """Make a folder that a process adds to while it goes on, if it is missing, and hold it against others.

    Raises:
        OutputError: ``out`` is not of the kind, another process writes it, or it may not be written.
    """
    place = check_folder(out, kind)
    with _named(out, CANNOT):
        place.mkdir(parents=True, exist_ok=True)
        with _locked(place, out):
            for folder in ("", *kind.folders):
                _sweep(place / folder, partial(kind.has_file, folder))
            yield place


def _obstacle(place: Path, kind: FolderKind | None) -> str | None:
    """Say what prevents a new folder; None if nothing does."""
    try:
        mode = place.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISLNK(mode):
        return f"it is a link to {place.readlink()}"
    if not stat.S_ISDIR(mode):
        return "a file is there"
    if kind is None:
        return "it is there already"
    foreign = _foreign(place, "", kind)
    if foreign is not None:
        return f"it holds {foreign}, which is not part of a {kind.name}"
    if any(place.iterdir()) and not kind.is_one(place):
        return f"it is not a {kind.name}"
    return None


def _foreign(folder: Path, prefix: str, kind: FolderKind) -> str | None:
    """Return the path of something that a folder of the kind does not hold, or None."""
    with os.scandir(folder) as entries:
        for entry in entries:
            path = prefix + entry.name
            if not kind.owns(path, entry):
                return path
            if entry.is_dir():
                below = _foreign(Path(entry.path), f"{path}/", kind)
                if below is not None:
                    return below
    return None


def _is_device(path: Path) -> bool:
    return path.exists() and not path.is_file()


def _check_writable(out: Path, folder: Path) -> None:
    """Refuse where the folder, or the nearest one above that is there, cannot be written."""
    there = next(one for one in (folder, *folder.parents) if one.exists())
    if not there.is_dir():
        raise OutputError(f"cannot write {out}: {there} is a file, expected a folder: name another place")
    if not os.access(there, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write {out}: {there} is not writable for this user: name another place")


def _recover(place: Path, kind: FolderKind) -> None:
    """Undo what a process that died left half done; call it with the lock held."""
    for old in _temporaries(place.parent, lambda name: name == f"{place.name}.{OLD}"):
        if _obstacle(old, kind) is not None:
            continue
        if place.exists():
            _remove(old)
        else:
            old.rename(place)
    for unfinished in _temporaries(place.parent, lambda name: name == place.name):
        _remove(unfinished)


def _sweep(folder: Path, ours: Callable[[str], bool]) -> None:
    """Remove the temporaries of processes that are gone."""
    for path in _temporaries(folder, ours):
        if is_abandoned(path.name) and path.is_file():
            _remove(path)


def _temporaries(folder: Path, ours: Callable[[str], bool]) -> list[Path]:
    """Return what is not finished in a folder, of those files and folders whose names are ours."""
    if not folder.is_dir():
        return []
    found = ((path, TEMPORARY.fullmatch(path.name)) for path in folder.iterdir())
    return [path for path, match in found if match is not None and ours(match["name"])]


def temporary_of(place: Path) -> Path:
    """Return where a file or folder is written before it is renamed."""
    return place.with_name(temporary_name(place.name))


def temporary_name(name: str) -> str:
    """Return what a file or folder is called while this process writes it."""
    return f".{name}.{os.getpid()}.frankensplit"


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _remove(path: Path) -> None:
    """Remove a temporary; what cannot be removed is left to the next call."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Bring a file or folder to the disk before a rename says that it is there."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # some file systems do not sync folders
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _locked(path: Path, out: Path) -> Iterator[None]:
    """Hold the lock of a folder, or of a file that is there only meanwhile; the system frees it if we die.

    Raises:
        OutputError: another process holds it.
    """
    is_file = not path.is_dir()
    descriptor = _open_lock(path, is_file, out)
    try:
        yield
    finally:
        if is_file:
            path.unlink(missing_ok=True)  # must precede the release of the lock: see below
        os.close(descriptor)


def _open_lock(path: Path, is_file: bool, out: Path) -> int:
    flags = (os.O_RDWR | os.O_CREAT if is_file else os.O_RDONLY) | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        descriptor = os.open(path, flags, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(descriptor, path):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise OutputError(
                f"cannot write {out}: another process writes there now: wait until it ends, or name another place"
            ) from None
        except OSError as err:
            if err.errno in UNLOCKABLE:
                return descriptor
            os.close(descriptor)
            raise
        os.close(descriptor)  # who held it has removed the file meanwhile


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


@contextmanager
def _named(out: Path, numbers: tuple[int, ...] | None = None) -> Iterator[None]:
    """Turn what the system says into an error that names the output; ``numbers``: only these errors."""
    try:
        yield
    except (
        OSError,
        ValueError,
        RuntimeError,
    ) as err:  # pathlib says ValueError of a NUL, RuntimeError of a loop
        number, what, where = (getattr(err, name, None) for name in ("errno", "strerror", "filename"))
        if numbers is not None and number not in numbers:
            raise
        reason = f"{what} ({where})" if what and where else what or err
        raise OutputError(
            f"cannot write {out}: {reason}; free space or get the right to write there, or name another place"
        ) from err
