# SPDX-License-Identifier: Apache-2.0
"""Read files that strangers may have written: what they declare is bounded before anything is allocated for it.

Only regular files are opened: a pipe would make the reader wait, a device would never end. Every function raises the
error class that it is given, so that each caller's users see the kind of error that they know.
"""

from __future__ import annotations

import io
import json
import math
import os
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from frankensplit.errors import BundleError, FrankensplitError, shown

MAX_JSON_BYTES = 8 << 20  # labels of 100,000 classes; parsed, a file is up to 30 times as large
MAX_JSON_DEPTH = 32  # ours have 4
MAX_JSON_DIGITS = 20  # longest integer; Python's parser takes quadratic time
MAX_ARRAY_BYTES = 16 << 20  # largest array of an .npz: 1,000 channels of 4,000 symbols each
MAX_NPY_HEADER_BYTES = 1024  # numpy writes 128
MAX_SAFETENSORS_HEADER_BYTES = MAX_JSON_BYTES  # enough for 50,000 tensors; the format allows 100 MB
LITTER = {
    ".DS_Store",
    "Thumbs.db",
    "desktop.ini",
    ".manifest.json",
}  # desktops and interrupted writes leave these
MAX_FILES = 1000  # most files of a folder that is read whole; a bundle has 20

Path_ = str | os.PathLike[str]
Error = type[FrankensplitError]


def open_regular(path: Path_, limit: int, error: Error = BundleError) -> BinaryIO:
    """Open a file for reading.

    Args:
        path: of the file; a link is followed.
        limit: bytes that it may have.
        error: what is raised.

    Raises:
        error: it is missing, cannot be opened, is not a regular file, or is too large.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as err:
        raise error(f"cannot read {_name(path)}: {err.strerror}") from err
    except ValueError as err:  # a NUL in the name
        raise error(f"cannot read {_name(path)}: {err}") from err
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_size <= limit:
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise error(f"cannot read {_name(path)}: it is not a regular file")
    raise error(f"{_name(path)} has {status.st_size} bytes, expected at most {limit}")


def read_bytes(path: Path_, limit: int, error: Error = BundleError) -> bytes:
    """Return a file's content; raises as :func:`open_regular`."""
    with open_regular(path, limit, error) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            data = file.read(size + 1)
        except OSError as err:
            raise error(f"cannot read {_name(path)}: {err.strerror}") from err
    if len(data) != size:
        raise error(f"{_name(path)} changed while it was read; try again")
    return data


def read_json(path: Path_, limit: int = MAX_JSON_BYTES, error: Error = BundleError) -> dict[str, Any]:
    """Return the JSON object in a file: finite numbers, no key twice, at most ``MAX_JSON_DEPTH`` deep.

    Raises:
        error: as :func:`open_regular`, or the content is something else.
    """
    return parse_json(read_bytes(path, limit, error), _name(path), error)


def parse_json(data: bytes, source: str, error: Error = BundleError) -> dict[str, Any]:
    """Return the JSON object in bytes that were read from ``source``; as :func:`read_json`."""
    try:
        value = json.loads(
            data.decode("utf-8"),
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_number,
            object_pairs_hook=_object,
        )
    except (ValueError, RecursionError) as err:
        raise error(f"{source} is not JSON that can be read: {err};  fetch or write it again") from err
    if not isinstance(value, dict):
        raise error(f"{source} holds a {type(value).__name__}, expected an object")
    level: list[Any] = [value]
    for _ in range(MAX_JSON_DEPTH):
        level = [child for node in level for child in _children(node)]
    if level:
        raise error(f"{source} is more than {MAX_JSON_DEPTH} levels deep; fetch or write it again")
    return value


def read_arrays(
    path: Path_, dtypes: Mapping[str, Any], limit: int = MAX_ARRAY_BYTES, error: Error = BundleError
) -> dict[str, NDArray[Any]]:
    """Return the arrays of an ``.npz`` that holds just these, uncompressed; they are read-only.

    Args:
        path: of the file.
        dtypes: of each array by name.
        limit: bytes of the file, so of all arrays together.
        error: what is raised.

    Raises:
        error: as :func:`open_regular`, or it holds something else.
    """
    data = read_bytes(path, limit, error)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            found = sorted(member.filename for member in members)
            if found != sorted(f"{name}.npy" for name in dtypes):
                raise ValueError(f"it holds {shown(found)}, not {', '.join(dtypes)}")
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise ValueError("it is compressed")
            if sum(member.file_size for member in members) > len(data):
                raise ValueError("its members are larger than the file")
            return {name: _array(archive.read(f"{name}.npy"), np.dtype(dtypes[name])) for name in dtypes}
    except Exception as err:  # zipfile and numpy raise a dozen types on damaged files
        raise error(f"cannot read tables from {_name(path)}: {err}; export the codec again") from err


def files_in(folder: Path, error: Error = BundleError) -> dict[str, int]:
    """Return the size in bytes of each file below a folder by its path there; litter is left out.

    Raises:
        error: there is a link, or another thing that is neither a file nor a folder, or more than ``MAX_FILES``.
    """
    sizes: dict[str, int] = {}
    folders, seen = [folder], 0
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                seen += 1
                if seen > MAX_FILES:
                    raise error(f"{folder} has more than {MAX_FILES} files and folders")
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.path))
                elif not entry.is_file(follow_symlinks=False):
                    raise error(
                        f"{shown(entry.path)} is a link or not a regular file, which must not be here: copy the "
                        "files themselves"
                    )
                elif entry.name not in LITTER:
                    name = Path(entry.path).relative_to(folder).as_posix()
                    sizes[name] = entry.stat(follow_symlinks=False).st_size
    return sizes


def check_safetensors(path: Path_, limit: int, error: Error = BundleError) -> None:
    """Check what the library ``safetensors`` leaves open: kind and size of the file, and size of its header.

    That the tensors fill the file to the byte is checked by the library.

    Raises:
        error: as :func:`open_regular`, or the header is longer than the file or ``MAX_SAFETENSORS_HEADER_BYTES``.
    """
    with open_regular(path, limit, error) as file:
        size = os.fstat(file.fileno()).st_size
        header = int.from_bytes(file.read(8), "little")
    if not 2 <= header <= min(size - 8, MAX_SAFETENSORS_HEADER_BYTES):
        raise error(
            f"{_name(path)} has {size} bytes and declares a header of {header}, expected at most "
            f"{MAX_SAFETENSORS_HEADER_BYTES} inside of the file; export the bundle again"
        )


def _name(path: Path_) -> str:
    """Return a path for a message; one with odd characters, or of many, as ``shown`` does."""
    text = os.fspath(path)
    return text if text.isprintable() and len(text) < 1024 else shown(text)


def _integer(text: str) -> int:
    if len(text) > MAX_JSON_DIGITS:
        raise ValueError(f"an integer has {len(text)} digits")
    return int(text)


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"a number is {shown(text)}, expected a finite one")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):  # readers differ in which they take
        raise ValueError(f"a key occurs twice among {shown([key for key, _ in pairs])}")
    return value


def _children(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []


def _array(data: bytes, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the array of an ``.npy`` of format 1.0, as ``numpy.save`` writes it."""
    length = int.from_bytes(data[8:10], "little")
    if data[:8] != b"\x93NUMPY\x01\x00" or length > MAX_NPY_HEADER_BYTES:
        raise ValueError("a member is not an array of format 1.0")
    shape, by_columns, found = np.lib.format.read_array_header_1_0(io.BytesIO(data[8:]))
    if found != dtype or min(shape, default=0) < 0:
        raise ValueError(f"an array is {found} of shape {shape}, expected an {dtype} array")
    if math.prod(shape) * dtype.itemsize != len(data) - 10 - length:
        raise ValueError(f"an array of shape {shape} has {len(data) - 10 - length} bytes")
    return np.frombuffer(data, dtype, offset=10 + length).reshape(shape, order="F" if by_columns else "C")
