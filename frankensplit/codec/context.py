# SPDX-License-Identifier: Apache-2.0
"""Shared tables, and the choice of one for each symbol by the symbols that were decoded before it.

The choice depends only on integers of the same latent, so each packet still decodes alone, and alike on every machine.
``_rans_twin.py`` and, byte for byte, ``docs/formats.md`` describe how a context is computed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frankensplit.codec._rans_twin import MAX_CLASSES, MAX_SHARED, NEARS
from frankensplit.codec.tables import MAX_CHANNELS, Ints, Tables, write_arrays
from frankensplit.errors import TablesError
from frankensplit.reading import read_arrays

TABLES = ("cdf", "sizes", "offsets")
CHOICE = {"map": np.uint8, "near_limits": np.int32, "activity_limits": np.int32}


@dataclass(frozen=True, eq=False)
class Contexts:
    """Hold tables and the choice among them; validated whole, copied and read-only.

    Args:
        tables: 1 to 16, shared by all channels.
        map: uint8 ``(C, K)``: the table of each class of each channel; K is ``(N + 1) * (A + 1)``, at most 256, and
            class ``n * (A + 1) + a`` belongs to near class n and activity class a.
        near_limits: int32 ``(N,)``, rising strictly from 1 or more to at most 90; the near class of a symbol is the
            number of limits that the weighted magnitudes left of and above it reach.
        activity_limits: int32 ``(C, A)``, from 0 on and not falling within a channel; the activity class of a symbol is
            the number of its channel's limits that the magnitudes in earlier channels reach.

    Raises:
        TablesError: any of this does not hold.
    """

    tables: Tables
    map: NDArray[np.uint8]
    near_limits: Ints
    activity_limits: Ints

    def __post_init__(self) -> None:
        for name, dtype in CHOICE.items():
            object.__setattr__(self, name, _owned(name, getattr(self, name), dtype))
        _check_limits(self.near_limits, self.activity_limits)
        _check_map(self.map, len(self.near_limits), self.activity_limits.shape)
        if self.tables.channels > MAX_SHARED or int(self.map.max()) >= self.tables.channels:
            raise TablesError(
                f"map names table {int(self.map.max())} of {self.tables.channels}, expected one that exists, "
                f"and at most {MAX_SHARED} in all; export the codec again"
            )

    @property
    def channels(self) -> int:
        """Count the channels of the latents."""
        return len(self.map)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an ``.npz``: same contexts, same bytes (no time stamps, no compression)."""
        tables = {name: getattr(self.tables, name) for name in TABLES}
        write_arrays(path, tables | {name: getattr(self, name) for name in CHOICE})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Contexts:
        """Read and validate what :meth:`save` wrote.

        Raises:
            TablesError: no such file, damaged, compressed, pickled, other arrays than the six, or broken rules.
        """
        arrays = read_arrays(path, {**dict.fromkeys(TABLES, np.int32), **CHOICE}, error=TablesError)
        return cls(Tables(*(arrays[name] for name in TABLES)), *(arrays[name] for name in CHOICE))


def _owned(name: str, array: Any, dtype: type) -> NDArray[Any]:
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        raise TablesError(
            f"{name} is {getattr(array, 'dtype', type(array))}, expected {np.dtype(dtype)}; export the codec again"
        )
    owned = np.array(array, order="C")
    owned.flags.writeable = False
    return owned


def _check_limits(near: Ints, activity: Ints) -> None:
    if (
        near.ndim != 1
        or (len(near) and not 1 <= near.min() <= near.max() < NEARS)
        or (np.diff(near) < 1).any()
    ):
        raise TablesError(
            f"near_limits are {near.tolist()}, expected some that rise strictly in 1 to {NEARS - 1}"
        )
    if activity.ndim != 2 or not 1 <= len(activity) <= MAX_CHANNELS:
        raise TablesError(
            f"activity_limits have shape {activity.shape}, expected (C, A) with C from 1 to {MAX_CHANNELS}"
        )
    if (activity < 0).any() or (np.diff(activity.astype(np.int64), axis=1) < 0).any():
        raise TablesError("activity_limits of a channel are negative or fall; export the codec again")


def _check_map(table_of: NDArray[np.uint8], near: int, activity: tuple[int, ...]) -> None:
    shape = (activity[0], (near + 1) * (activity[1] + 1))
    if table_of.shape != shape or shape[1] > MAX_CLASSES:
        raise TablesError(
            f"map has shape {table_of.shape}, the limits ask for {shape} with at most {MAX_CLASSES} classes"
        )
