# SPDX-License-Identifier: Apache-2.0
"""Make hostile input of good input: strategies of hypothesis that damage bytes, JSON and arrays."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

EDGES = (
    0,
    1,
    -1,
    2,
    255,
    256,
    32767,
    65528,
    65535,
    65536,
    2**31 - 1,
    -(2**31),
    2**31,
    2**32 - 1,
    2**62,
    2**64,
)
TEXTS = (
    "",
    ".",
    "../../etc/passwd",
    "/dev/zero",
    "a\0b",
    "a" * 5000,
    "\ud800",
    "\u202e",
    "-1",
    "NaN",
    "file:///etc/passwd",
)
VALUES = (
    None,
    True,
    False,
    *EDGES,
    0.5,
    1e-300,
    1e300,
    float("nan"),
    float("inf"),
    *TEXTS,
    [],
    {},
    [[[]]],
    {"": {}},
)


@st.composite
def damaged(draw: st.DrawFn, seeds: Sequence[bytes], most: int = 4) -> bytes:
    """One of the seeds after up to ``most`` changes of its bytes."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, most))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 16))
        change = draw(
            st.sampled_from(["flip", "overwrite", "delete", "insert", "repeat", "cut", "edge", "splice"])
        )
        if change == "flip" and at < len(data):
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif change == "overwrite":
            data[at : at + length] = draw(st.binary(min_size=length, max_size=length))
        elif change == "delete":
            del data[at : at + length]
        elif change == "insert":
            data[at:at] = draw(st.binary(max_size=16))
        elif change == "repeat":
            data[at:at] = data[at : at + length] * draw(st.integers(1, 8))
        elif change == "cut":
            del data[at:]
        elif change == "edge":
            size, order = draw(st.sampled_from([1, 2, 4])), draw(st.sampled_from(["little", "big"]))
            data[at : at + size] = (draw(st.sampled_from(EDGES)) % 256**size).to_bytes(size, order)
        elif change == "splice":
            other = draw(st.sampled_from(seeds))
            data[at:] = other[draw(st.integers(0, len(other))) :]
    return bytes(data)


def places_of(value: Any) -> list[tuple[Any, Any]]:
    """Each container within a JSON value with each of its keys."""
    if not isinstance(value, dict | list):
        return []
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    return [(value, key) for key in keys] + [place for key in keys for place in places_of(value[key])]


@st.composite
def hostile_json(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """One of the JSON seeds with some values replaced, removed, renamed, moved or nested."""
    value = json.loads(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 3))):
        places = places_of(value)
        if not places:
            break
        holder, key = draw(st.sampled_from(places))
        change = draw(
            st.sampled_from(["replace", "replace", "near", "remove", "rename", "move", "nest", "repeat"])
        )
        if change == "near" and isinstance(holder[key], int | float):
            holder[key] += draw(st.sampled_from([1, -1, 0.5, 65535]))
        elif change == "remove":
            del holder[key]
        elif change == "rename" and isinstance(holder, dict):
            holder[draw(st.sampled_from(TEXTS))] = holder.pop(key)
        elif change == "move":
            other, other_key = draw(st.sampled_from(places))
            if other_key in (other if isinstance(other, dict) else range(len(other))):
                holder[key] = json.loads(json.dumps(other[other_key]))
        elif change == "nest":
            depth = draw(st.sampled_from([1, 3, 200]))
            for _ in range(depth):
                holder[key] = [holder[key]]
        elif change == "repeat" and isinstance(holder[key], list):
            holder[key] = holder[key] * draw(st.sampled_from([0, 2, 300]))
        else:
            holder[key] = draw(st.sampled_from(VALUES))
    text = json.dumps(value)
    end = draw(st.sampled_from(["none", "none", "none", "none", "deep", "digits", "twice"]))
    if end == "deep":
        depth = draw(st.sampled_from([100, 3000, 100_000]))
        text = text[:-1] + ', "deep": ' + "[" * depth + "]" * depth + "}"
    elif end == "digits":
        text = re.sub(r"\d+", "9" * 5000, text, count=1)
    elif end == "twice":
        text += text
    return text.encode()


def write_npz(arrays: Arrays, compressed: bool = False) -> bytes:
    """Give the bytes of an ``.npz``."""
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **arrays)
    return file.getvalue()


def read_npz(data: bytes) -> Arrays:
    """Read what :func:`write_npz` gave."""
    with np.load(io.BytesIO(data)) as archive:
        return {name: archive[name] for name in archive.files}


@st.composite
def hostile_arrays(draw: st.DrawFn, arrays: Arrays, most: int = 3) -> Arrays:
    """The arrays after up to ``most`` changes of a value, shape, dtype or name."""
    changed = {name: array.copy() for name, array in arrays.items()}
    for _ in range(draw(st.integers(0, most))):
        name = draw(st.sampled_from(sorted(changed)))
        array = changed[name]
        change = draw(
            st.sampled_from(["value", "value", "value", "near", "shape", "cut", "dtype", "rename", "grow"])
        )
        whole = array.dtype.kind in "iu"
        if change in ("value", "near") and whole and array.size:
            at = draw(st.integers(0, array.size - 1))
            number = (
                int(array.flat[at]) + draw(st.integers(-2, 2))
                if change == "near"
                else draw(st.sampled_from(EDGES))
            )
            bits = 8 * array.itemsize
            array.flat[at] = np.array(number % 2**bits, f"u{array.itemsize}").astype(array.dtype)
        elif change == "shape":
            shape = draw(st.sampled_from([(-1,), (1, -1), (-1, 1), (1, 1, -1)]))
            changed[name] = array.reshape(shape)
        elif change == "cut" and array.ndim:
            changed[name] = array[: draw(st.integers(0, len(array)))]
        elif change == "dtype" and whole:
            changed[name] = array.astype(draw(st.sampled_from([">i4", "<i8", "<u2", "u1", "<f4", "?", "S3"])))
        elif change == "rename" and len(changed) > 1:
            changed["other"] = changed.pop(name)
        elif change == "grow" and array.ndim:
            changed[name] = np.concatenate([array, array])
    return changed


@st.composite
def hostile_npz(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """One of the ``.npz`` seeds: its arrays changed, or the header of one of them, or its bytes."""
    seed = draw(st.sampled_from(seeds))
    change = draw(st.sampled_from(["arrays", "arrays", "arrays", "header", "bytes"]))
    if change == "bytes":
        return draw(damaged([seed]))
    if change == "header":
        return draw(_with_header(seed))
    return write_npz(draw(hostile_arrays(read_npz(seed))), draw(st.booleans()))


@st.composite
def _with_header(draw: st.DrawFn, seed: bytes) -> bytes:
    """A good ``.npz`` of which one member declares another dtype, order or shape than it has."""
    dtype = draw(
        st.sampled_from(
            ["'<i4'", "'|O'", "'>i4'", "'<f8'", "'<U1000000'", "[('a', '<i4')]", "'nonsense'", "3"]
        )
    )
    shape = draw(
        st.sampled_from(["(10, 40)", f"({2**40},)", "(0, 65536, 65536)", "(-1, 4)", "(3,", "()", "(" * 300])
    )
    header = f"{{'descr': {dtype}, 'fortran_order': {draw(st.sampled_from(['False', 'True', '7']))}, 'shape': {shape}}}"
    text = header.encode().ljust(118) + b"\n"
    member = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + draw(st.binary(max_size=64))
    arrays = read_npz(seed)
    spoilt = draw(st.sampled_from(sorted(arrays)))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, array)
            archive.writestr(f"{name}.npy", member if name == spoilt else content.getvalue())
    return file.getvalue()
