# SPDX-License-Identifier: Apache-2.0
"""Names of files as people give them: numbers in natural order, endings in any case, and what is left out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from frankensplit.errors import one_line
from frankensplit.reading import LITTER

_NUMBER = re.compile(r"([0-9]+)")


def natural(path: Path | str) -> list[tuple[list[str | int], str]]:
    """Return a key that sorts ``frame2`` before ``frame10``; names that differ in zeros alone are in text order."""
    return [
        ([int(part) if at % 2 else part for at, part in enumerate(_NUMBER.split(name))], name)
        for name in Path(path).parts
    ]


def listed(folder: Path) -> list[Path]:
    """Return what a folder shows, in natural order, without what desktops write into it; nothing where it is none."""
    if not folder.is_dir():
        return []
    shown = (path for path in folder.iterdir() if path.name[0] != "." and path.name not in LITTER)
    return sorted(shown, key=natural)


def stem_before(name: str, *endings: str) -> str | None:
    """Return a name without the first of these endings that it has, in capital or small letters; None: it has none."""
    lower = name.lower()
    return next((name[: -len(one)] for one in endings if lower.endswith(one) and len(name) > len(one)), None)


def left_out(what: str, names: Iterable[Path | str], rule: str) -> list[str]:
    """Return a note about what is not read: how many, the first by name, and the rule; none where there are none."""
    found: Sequence[Path | str] = list(names)
    first = found and (found[0].name if isinstance(found[0], Path) else found[0])
    return (
        [f"{what} that are not read: {len(found)}, such as {one_line(str(first))}; {rule}"] if found else []
    )
