# SPDX-License-Identifier: Apache-2.0
"""Classes of a data set (``labels.json``), and how its truth becomes class indices of a head."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frankensplit.data.limits import MAX_LABELS_BYTES, read_json
from frankensplit.errors import DataError, one_line, shown

LABELS_FILE = "labels.json"
UNLABELLED = 255  # the usual value in public data sets
UNKNOWN = -1  # an entry of a table for a value that should not occur


def read_labels(path: Path) -> dict[str, Any]:
    """Read the ``labels.json`` of a data set.

    Returns:
        its JSON object: at least ``class_names``, perhaps ``void_index`` (a mask's value without a class) and
        ``rate_hz`` (of samples that are a sequence).

    Raises:
        DataError: the file is missing, no JSON, or a key is missing or of the wrong type.
    """
    labels = read_json(path, MAX_LABELS_BYTES)
    if not isinstance(labels, dict):
        raise DataError(f"{path}: expected a JSON object with class_names, found {type(labels).__name__}")
    names = labels.get("class_names")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise DataError(
            f"{path}: class_names is {_short(names)}, expected a list of names in the order of the indices"
        )
    void = labels.get("void_index")
    if void is not None and (isinstance(void, bool) or not isinstance(void, int) or not 0 <= void <= 255):
        raise DataError(
            f"{path}: void_index is {_short(void)}, expected a mask's value from 0 to 255, or null"
        )
    rate = labels.get("rate_hz")
    if rate is not None and (isinstance(rate, bool) or not isinstance(rate, int | float) or not rate > 0):
        raise DataError(f"{path}: rate_hz is {_short(rate)}, expected frames a second, or null")
    return labels


def _short(value: object) -> str:
    return "missing" if value is None else shown(value)


def mask_table(
    labels: dict[str, Any] | None, classes: Sequence[str] | None, ignore: int
) -> tuple[NDArray[np.int16] | None, list[str]]:
    """Return what each value of a set's masks is to a head, and notes for the reader.

    Args:
        labels: the set's ``labels.json``; None where it has none: values are the head's indices.
        classes: the head's classes in order; None keeps the set's.
        ignore: the head's value for pixels without a class.

    Returns:
        int16 ``(256,)``: the head's index, ``ignore``, or ``UNKNOWN``; None when no class of the set is the head's.
    """
    table = np.full(256, UNKNOWN, np.int16)
    table[UNLABELLED] = ignore
    if labels is None:
        count = 256 if classes is None else len(classes)
        table[:count] = np.arange(count)
        table[[ignore, UNLABELLED]] = ignore
        return table, ["no labels.json: values of the masks are taken as the bundle's class indices"]
    names, void = labels["class_names"], labels.get("void_index")
    fits, notes = match_names(names, names if classes is None else classes, void)
    if all(index is None for index in fits):
        return None, [f"{notes[0]}; the masks are not used"]
    values = [ignore if index is None else index for index in fits][: len(table)]
    table[: len(values)] = values
    if void is not None:
        table[void] = ignore
    return table, notes


def match_names(
    names: Sequence[str], classes: Sequence[str], void: int | None = None
) -> tuple[list[int | None], list[str]]:
    """Return the index in ``classes`` of each name (case, spaces, ``_`` and ``-`` do not count), and notes.

    The name at ``void``, if there is one, is not a class.
    """
    own = {_normal(name): index for index, name in reversed(list(enumerate(classes)))}
    fits = [None if at == void else own.get(_normal(name)) for at, name in enumerate(names)]
    strangers = [name for at, name in enumerate(names) if fits[at] is None and at != void]
    if all(index is None for index in fits):
        return fits, [
            f"no class of the set ({list_names(names)}) is one of the bundle's ({list_names(classes)})"
        ]
    notes = []
    if any(index not in (None, at) for at, index in enumerate(fits)):
        notes.append("the set numbers its classes otherwise than the bundle: mapped by name")
    if strangers:
        notes.append(f"classes that only the set has, ignored: {list_names(strangers)}")
    absent = [name for index, name in enumerate(classes) if index not in fits]
    if absent:
        notes.append(f"classes that only the bundle has: {list_names(absent)}")
    return fits, notes


def _normal(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter not in " _-")


def list_names(names: Iterable[str], most: int = 12) -> str:
    """Return the first names in a line, and how many more there are."""
    names = list(names)
    return ", ".join(map(one_line, names[:most])) + (
        f" and {len(names) - most} more" if len(names) > most else ""
    )


def map_mask(mask: NDArray[np.uint8], table: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Return a mask in the head's indices.

    Raises:
        DataError: the mask has a value that no class has.
    """
    mapped = table[mask]
    if mapped.min(initial=0) == UNKNOWN:
        bad = sorted({int(value) for value in mask[mapped == UNKNOWN]})
        known = np.flatnonzero(table[:UNLABELLED] != UNKNOWN).max(initial=0)
        raise DataError(
            f"the mask has the value {list_names([str(value) for value in bad])}, expected 0 to {known}, "
            f"or {UNLABELLED} for no class; another value for no class is void_index in {LABELS_FILE}"
        )
    return mapped.astype(np.uint8)
