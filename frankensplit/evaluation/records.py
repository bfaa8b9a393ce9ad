# SPDX-License-Identifier: Apache-2.0
"""What was measured on each frame, and its file, so that an interrupted evaluation goes on where it was."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frankensplit.errors import DataError
from frankensplit.evaluation.metrics import Statistics
from frankensplit.results import BoxesResult, ClassesResult, MaskResult, Result
from frankensplit.writing import write_file

RESULTS = {"mask": MaskResult, "boxes": BoxesResult, "classes": ClassesResult}


@dataclass(frozen=True)
class FrameRecord:
    """One frame through one codec: bytes on the wire, pixels that were coded, and each head's statistics."""

    key: str
    payload_bytes: int
    pixels: int
    statistics: dict[str, Statistics]


def save_records(path: Path, records: Sequence[FrameRecord]) -> None:
    """Write records, whole or not at all."""
    arrays: Statistics = {"keys": np.array([record.key for record in records], np.str_)}
    arrays["bytes"] = np.array([record.payload_bytes for record in records], np.int64)
    arrays["pixels"] = np.array([record.pixels for record in records], np.int64)
    for number, record in enumerate(records):
        for head, statistics in record.statistics.items():
            arrays |= {f"{number}/{head}/{name}": values for name, values in statistics.items()}
    _save(path, arrays)


def load_records(path: Path) -> list[FrameRecord]:
    """Read records.

    Raises:
        DataError: the file is damaged.
    """
    with _opened(path) as arrays:
        nested = _nested(arrays, len(arrays["keys"]))
        return [
            FrameRecord(str(key), int(payload_bytes), int(pixels), statistics)
            for key, payload_bytes, pixels, statistics in zip(
                arrays["keys"], arrays["bytes"], arrays["pixels"], nested, strict=True
            )
        ]


def save_results(path: Path, results: Sequence[Mapping[str, Result]]) -> None:
    """Write the results of each frame by head, whole or not at all."""
    arrays: Statistics = {"frames": np.array(len(results))}
    for number, by_head in enumerate(results):
        for head, result in by_head.items():
            arrays |= {
                f"{number}/{head}/{f.name}": np.asarray(getattr(result, f.name)) for f in fields(result)
            }
    _save(path, arrays)


def load_results(path: Path, kinds: Mapping[str, str]) -> list[dict[str, Result]]:
    """Read results; ``kinds`` is the kind of each head.

    Raises:
        DataError: the file is damaged.
    """
    with _opened(path) as arrays:
        return [
            {head: RESULTS[kinds[head]](**_scalars(values)) for head, values in by_head.items()}
            for by_head in _nested(arrays, int(arrays["frames"]))
        ]


def _scalars(values: Statistics) -> dict[str, Any]:
    return {name: value.item() if value.ndim == 0 else value for name, value in values.items()}


def _nested(arrays: Mapping[str, NDArray[Any]], count: int) -> list[dict[str, Statistics]]:
    nested: list[dict[str, Statistics]] = [{} for _ in range(count)]
    for entry in arrays:
        number, _, rest = entry.partition("/")
        if rest:
            head, _, name = rest.partition("/")
            nested[int(number)].setdefault(head, {})[name] = arrays[entry]
    return nested


def _save(path: Path, arrays: Mapping[str, Any]) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_file(path, buffer.getbuffer())


@contextmanager
def _opened(path: Path) -> Iterator[Mapping[str, NDArray[Any]]]:
    """Open a file of records or results."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            yield arrays
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as err:
        raise DataError(
            f"{path} is damaged ({str(err)[:200]}): remove it, it is measured again then"
        ) from err
