# SPDX-License-Identifier: Apache-2.0
"""Types and ranges of values that come from a bundle: lists of what is allowed, checked by one function."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from frankensplit.errors import BundleError, shown

NEXT = "mend the recipe, or fetch or export the bundle again"


class Kind(Protocol):
    """A type and range of values; its text says which."""

    def accepts(self, value: Any) -> bool:
        """Tell whether a value is of this type and within this range."""


@dataclass(frozen=True)
class Number:
    """A finite number from ``low`` to ``high``."""

    low: float
    high: float

    def accepts(self, value: Any) -> bool:
        """Tell whether it is one."""
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"a number in {self.low:g}..{self.high:g}"


@dataclass(frozen=True)
class Whole:
    """A whole number from ``low`` to ``high``."""

    low: int
    high: int

    def accepts(self, value: Any) -> bool:
        """Tell whether it is one."""
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"a whole number in {self.low}..{self.high}"


@dataclass(frozen=True)
class TrueOrFalse:
    """True or false."""

    def accepts(self, value: Any) -> bool:
        """Tell whether it is one of the two."""
        return isinstance(value, bool)

    def __str__(self) -> str:
        return "true or false"


@dataclass(frozen=True)
class Name:
    """One line of ``longest`` characters at most, all of which can be seen."""

    longest: int

    def accepts(self, value: Any) -> bool:
        """Tell whether it is one."""
        return isinstance(value, str) and 0 < len(value) <= self.longest and value.isprintable()

    def __str__(self) -> str:
        return f"a text of 1 to {self.longest} printable characters"


@dataclass(frozen=True)
class FileName(Name):
    """A text that can be the name of a file in a folder and does not lead out of it."""

    def accepts(self, value: Any) -> bool:
        """Tell whether it is one."""
        return super().accepts(value) and value[0] not in "-." and not any(one in value for one in "/\\")

    def __str__(self) -> str:
        return f"{super().__str__()} and none a slash, that begins with neither a dot nor a dash"


@dataclass(frozen=True)
class Matching:
    """A text of a form; ``example`` says which."""

    form: str
    example: str

    def accepts(self, value: Any) -> bool:
        """Tell whether it is one."""
        return isinstance(value, str) and re.fullmatch(self.form, value) is not None

    def __str__(self) -> str:
        return f"a text such as {self.example}"


@dataclass(frozen=True)
class Several:
    """A list of ``least`` to ``most`` values of one kind."""

    of: Kind
    least: int
    most: int

    def accepts(self, value: Any) -> bool:
        """Tell whether it is one."""
        listed = isinstance(value, (list, tuple)) and self.least <= len(value) <= self.most
        return listed and all(map(self.of.accepts, value))

    def __str__(self) -> str:
        count = f"{self.least}" if self.least == self.most else f"{self.least} to {self.most}"
        return f"a list of {count}, each {self.of}"


Allowed = Mapping[str, Kind]


def check_values(what: str, values: Any, allowed: Allowed, rest: bool = False) -> None:
    """Refuse values that are not on a list, or are of another type or out of range.

    Args:
        what: has them, for the error: ``backbone 'resnet18'``.
        values: by name.
        allowed: the list.
        rest: let values that are not on the list pass; nothing may read them.

    Raises:
        BundleError: a value is refused; the text names it and what is allowed.
    """
    if not isinstance(values, Mapping):
        raise BundleError(f"{what} is {shown(values)}, expected an object of names and values; {NEXT}")
    unknown = [name for name in values if name not in allowed]
    if unknown and not rest:
        raise BundleError(
            f"{what} cannot take {', '.join(map(shown, unknown))}; allowed are {', '.join(allowed)}; {NEXT}"
        )
    for name, kind in allowed.items():
        if name in values and not kind.accepts(values[name]):
            raise BundleError(f"{what} has {name} = {shown(values[name])}, expected {kind}; {NEXT}")
