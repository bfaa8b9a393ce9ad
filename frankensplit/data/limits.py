# SPDX-License-Identifier: Apache-2.0
"""Bounds of what readers of data take, each checked before memory is given: files, JSON, YAML."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import Any

import yaml

from frankensplit.errors import DataError, shown
from frankensplit.reading import read_bytes

MIB = 1 << 20
MAX_PICTURE_BYTES = 512 * MIB  # the largest that is decoded, uncompressed, with 16 bits and four channels
MAX_LABELS_BYTES = 4 * MIB  # the 22,000 class names of ImageNet take 1 MiB
MAX_ANNOTATION_BYTES = 2048 * MIB  # COCO's own train2017 has 448 MiB, LVIS's 1100 MiB
MAX_RESULT_BYTES = 64 * MIB  # an evaluation of 10,000 frames has 5 MiB
MAX_YAML_BYTES = 4 * MIB  # the index of a bag in 4000 files takes 1 MiB
MAX_YAML_VALUES = 200_000  # counted with aliases written out; that index has 60,000
MAX_YAML_DEPTH = 64  # recipes have 4, indices of bags 6
# The parser in Python takes 12 s for 5,000 brackets; the one in C is in every wheel of PyYAML.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MAX_CAUSE = 500  # characters of a library's error text
MAX_NAME = 1024  # characters of a path below a set
_CONTROL = re.compile(r"[\0-\x1f\x7f]")


def require_file(path: Path) -> None:
    """Refuse what is not a regular file: a pipe would hang, a device never ends.

    Raises:
        DataError: there is no such file, or it is a pipe, socket, device or folder.
    """
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError) as err:
        raise DataError(f"cannot read {shown(str(path))}: {_cause(err)}") from err
    if not regular:
        raise DataError(f"cannot read {shown(str(path))}: it is not a regular file")


def read_file(path: Path, limit: int) -> bytes:
    """Return the bytes of a regular file of at most ``limit`` bytes.

    Raises:
        DataError: it cannot be read, is not a regular file, or is larger.
    """
    return read_bytes(path, limit, DataError)


def read_json(path: Path, limit: int) -> Any:
    """Return the value that a JSON file holds; errors as :func:`read_file`, or it is not JSON or nested too deep."""
    try:
        return json.loads(read_file(path, limit))  # recognises UTF-8, 16 and 32, and drops a byte order mark
    except RecursionError as err:
        raise DataError(f"cannot read {shown(str(path))}: it is nested too deep") from err
    except ValueError as err:
        raise DataError(f"cannot read {shown(str(path))}: it is not JSON in UTF-8: {err}") from err


def read_yaml(path: Path) -> Any:
    """Return the value that a YAML file holds, whose aliases may be written out without harm.

    A few hundred bytes of aliases of aliases stand for gigabytes once anything copies or prints them.

    Raises:
        DataError: as :func:`read_file`; it is not YAML; or it is too deep, refers to itself, or has too many values.
    """
    name = shown(str(path))
    try:
        text = read_file(path, MAX_YAML_BYTES).decode("utf-8")
        _require_few_values(name, text)
        return yaml.load(text, Loader=_LOADER)
    except (ValueError, yaml.YAMLError) as err:
        raise DataError(f"cannot read {name}: {' '.join(str(err).split())}") from err


def _require_few_values(name: str, text: str) -> None:
    """Count what the text stands for while it is parsed, before any of it is made."""
    counts, anchors, open_anchors = [0], {}, []  # values in each collection that is open; of each anchor
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            counts.append(1)
            open_anchors.append(event.anchor)
        elif isinstance(event, yaml.CollectionEndEvent):
            found = counts.pop()
            anchors[open_anchors.pop()] = found
            counts[-1] += found
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor in open_anchors:
                raise DataError(f"{name} has a value inside itself, by the alias {shown(event.anchor)}")
            counts[-1] += anchors.get(event.anchor, 1)
        elif isinstance(event, yaml.ScalarEvent):
            anchors[event.anchor] = 1
            counts[-1] += 1
        if len(counts) > MAX_YAML_DEPTH:
            raise DataError(f"{name} is nested deeper than {MAX_YAML_DEPTH} levels: make it flatter")
        if counts[-1] > MAX_YAML_VALUES:
            raise DataError(
                f"{name} stands for more than {MAX_YAML_VALUES} values once its aliases are written out: use fewer"
            )


def require_name(name: str, what: str) -> str:
    """Return a name below a set; what leaves the set, or no file can have, is refused.

    Raises:
        DataError: it is absolute, has ``..``, a NUL or another control character, or more than 1024 characters.
    """
    faults = {
        f"is longer than {MAX_NAME} characters": len(name) > MAX_NAME,
        "is absolute": name.startswith("/"),
        "leaves its folder": ".." in name.split("/"),
        "has a control character": _CONTROL.search(name),
    }
    bad = next((fault for fault, found in faults.items() if found), None)
    if bad:
        raise DataError(f"{what} {shown(name)} {bad}: give a plain path below the set")
    return name


def _cause(err: OSError | ValueError) -> str:
    return (err.strerror if isinstance(err, OSError) else None) or str(err)
