# SPDX-License-Identifier: Apache-2.0
"""Read WebDataset tar shards: the members of one sample share their path up to the first dot of the file name."""

from __future__ import annotations

import itertools
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frankensplit.data.labels import LABELS_FILE, read_labels
from frankensplit.data.limits import MAX_PICTURE_BYTES, require_file, require_name
from frankensplit.data.names import listed, natural
from frankensplit.data.pictures import MASK_SUFFIX, PICTURE_SUFFIXES, decode_mask, decode_picture
from frankensplit.errors import DataError, shown
from frankensplit.places import user_path

CLASS_SUFFIX = "cls"
MAX_CLASS_DIGITS = 18  # fits into 64 bits
MAX_MEMBERS = 1 << 20  # most members of one shard, 1 kB of memory each; usual tools write about 10,000
_READ = {*PICTURE_SUFFIXES, MASK_SUFFIX, CLASS_SUFFIX}
# Dot files, such as macOS's ._ copies, do not match. A dot before a digit (ROS stamp, frame.0001) belongs to the key.
_MEMBER = re.compile(r"(?:\./)*((?:.*/)?[^./](?:[^./]|\.(?=[0-9]))*)\.([^/]+)")
_NUMBER = re.compile(r"-\d+(?:-of-\d+)?$")  # a shard's number, after the name of its split


@dataclass(frozen=True)
class Sample:
    """One sample as stored: its key, and each member's bytes by suffix in small letters.

    Known are a picture's suffixes, ``mask.png`` and ``cls``; members of other suffixes are not read.
    """

    key: str
    members: dict[str, bytes]

    def image(self) -> NDArray[np.uint8]:
        """Return the picture, uint8 RGB ``(H, W, 3)``.

        Raises:
            DataError: there is none, or it is damaged.
        """
        suffix, data = self.picture()
        return decode_picture(data, f"sample {shown(self.key)}: {suffix}")

    def picture(self) -> tuple[str, bytes]:
        """Return suffix and file of the picture; raises DataError where there is none."""
        for suffix in PICTURE_SUFFIXES:
            if suffix in self.members:
                return suffix, self.members[suffix]
        raise DataError(
            f"sample {shown(self.key)} has no image: members are {sorted(self.members)}, "
            f"an image is one of {', '.join(PICTURE_SUFFIXES)}"
        )

    def mask(self) -> NDArray[np.uint8] | None:
        """Return the class mask, uint8 ``(H, W)``, or None where there is none.

        Raises:
            DataError: it is damaged, or no mask.
        """
        data = self.members.get(MASK_SUFFIX)
        return None if data is None else decode_mask(data, f"sample {shown(self.key)}: {MASK_SUFFIX}")

    def label(self) -> int | None:
        """Return the class index of a classification sample, or None.

        Raises:
            DataError: it is not a whole number from 0.
        """
        text = self.members.get(CLASS_SUFFIX)
        if text is None:
            return None
        if not text.strip().isdigit() or len(text) > MAX_CLASS_DIGITS:
            raise DataError(
                f"sample {shown(self.key)}: {CLASS_SUFFIX} is {text[:40]!r}, expected a class index"
            )
        return int(text)


@dataclass(frozen=True)
class Entry:
    """Where the members of a sample that are read lie in a shard: offset and size in bytes by suffix."""

    shard: Path
    key: str
    places: dict[str, tuple[int, int]]

    def read(self) -> Sample:
        """Read the members.

        Raises:
            DataError: the shard cannot be read any more, or a member is too large.
        """
        members = {}
        for suffix, (_, size) in self.places.items():
            if size > MAX_PICTURE_BYTES:
                raise DataError(
                    f"sample {shown(self.key)}: {suffix} has {size} bytes, at most {MAX_PICTURE_BYTES} are read"
                )
        try:
            with self.shard.open("rb") as file:
                for suffix, (offset, size) in self.places.items():
                    file.seek(offset)
                    members[suffix] = file.read(size)
        except OSError as err:
            raise DataError(f"cannot read shard {self.shard}: {err.strerror}") from err
        return Sample(self.key, members)


@dataclass(frozen=True)
class ShardIndex:
    """The samples of a shard in order of their first member, and the names of the members that are not read."""

    entries: list[Entry]
    others: list[str]


@dataclass(frozen=True)
class ShardSet:
    """One split of a data set: its samples in order and the data set's ``labels.json``."""

    name: str
    paths: list[Path]

    def __iter__(self) -> Iterator[Sample]:
        """Yield the samples of all shards in order."""
        for path in self.paths:
            yield from read_shard(path)

    @property
    def annotations(self) -> Path | None:
        """COCO's annotations of the split, ``annotations/instances_SPLIT.json`` beside the shards, if there are any."""
        split = self.name.rpartition(":")[2]
        path = self.paths[0].parent / "annotations" / f"instances_{split}.json"
        return path if path.is_file() else None

    @property
    def labels(self) -> dict[str, Any]:
        """The content of ``labels.json``; raises DataError where there is none, or a bad one."""
        return read_labels(self.paths[0].with_name(LABELS_FILE))


def open_shards(spec: str, data_root: Path) -> ShardSet:
    """Open ``SET:SPLIT`` below the data root, or ``DIR:SPLIT`` anywhere.

    Raises:
        DataError: the spec is malformed, or the folder has no such shards.
    """
    folder_name, colon, split = spec.rpartition(":")
    if not colon or not folder_name or not split:
        raise DataError(f"data set {spec!r}: expected SET:SPLIT or DIR:SPLIT, such as camvid:val")
    candidates = [user_path(folder_name), data_root / folder_name]
    folder = next((path for path in candidates if path.is_dir()), None)
    if folder is None:
        looked = " and ".join(str(path) for path in candidates)
        raise DataError(f"data set {spec!r}: no folder at {looked}; give --data-root or DIR:SPLIT")
    paths = sorted((path for path in _shards(folder) if _split_of(path) == split), key=natural)
    if not paths:
        raise DataError(
            f"data set {spec!r}: {folder} has no {split}-*.tar; splits there: {list_splits(folder)}"
        )
    return ShardSet(spec, paths)


def list_splits(folder: Path) -> list[str]:
    """Return the names that the shards of a folder have before their number."""
    return sorted({_split_of(path) for path in _shards(folder)}, key=natural)


def _shards(folder: Path) -> list[Path]:
    return [path for path in listed(folder) if path.suffix.lower() == ".tar"]


def _split_of(path: Path) -> str:
    return _NUMBER.sub("", path.stem)


def read_shard(path: Path) -> Iterator[Sample]:
    """Yield the samples of one tar file.

    Raises:
        DataError: the file is not a tar, or ends early.
    """
    for entry in index_shard(path).entries:
        yield entry.read()


def index_shard(path: Path) -> ShardIndex:
    """Find the samples of one tar file, without reading the members.

    Samples that have neither picture nor mask nor class, such as a README, are left out.

    Raises:
        DataError: the file is not a plain tar, ends early, or has more than a million members, a sparse member (a few
            bytes stand for any number), or a member whose name leads out of it or has control characters.
    """
    require_file(path)
    places: dict[str, dict[str, tuple[int, int]]] = {}
    others: list[str] = []
    try:
        with tarfile.open(path, "r:") as tar:
            members = list(itertools.islice(tar, MAX_MEMBERS + 1))
            if len(members) > MAX_MEMBERS:
                raise DataError(f"shard {path} has more than {MAX_MEMBERS} members: split it")
            _require_end(tar)
            offsets = {member.name: (member.offset_data, member.size) for member in members if member.isreg()}
    # tarfile lets Python's own errors through if a number is malformed or out of range.
    except (OSError, tarfile.TarError, ValueError, OverflowError, MemoryError) as err:
        raise DataError(
            f"cannot read shard {path}: {shown(str(err))}; copy it again, plain and not compressed"
        ) from err
    for member in members:
        require_name(member.name, f"shard {path}: member")
        if member.issparse():
            raise DataError(
                f"shard {path}: member {shown(member.name)} is sparse: pack it again without --sparse"
            )
        name = member.linkname if member.islnk() else member.name
        if name not in offsets:
            continue
        match = _MEMBER.fullmatch(member.name)
        if match and match[2].lower() in _READ:
            places.setdefault(match[1], {})[match[2].lower()] = offsets[name]
        else:
            others.append(member.name)
    return ShardIndex([Entry(path, key, found) for key, found in places.items()], others)


def _require_end(tar: tarfile.TarFile) -> None:
    """Raise ReadError where the list of members stopped at something that is not the archive's end."""
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE).strip(b"\0"):
        raise tarfile.ReadError(f"damaged at byte {tar.offset}")
