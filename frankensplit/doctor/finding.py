# SPDX-License-Identifier: Apache-2.0
"""What a check finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

OK, NOTE, FAULT = LEVELS = ("ok", "note", "fault")


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Args:
        name: the subject of the check.
        level: ``ok``; ``note``, worth knowing or better otherwise; ``fault``, something that is there does not work.
        text: what was found.
        remedy: what to do about it.
        figures: numbers in the text, for programs.
    """

    name: str
    level: str
    text: str
    remedy: str = ""
    figures: dict[str, Any] = field(default_factory=dict)


def ok(name: str, text: str, **figures: Any) -> Finding:
    """Return a finding that asks for nothing."""
    return Finding(name, OK, text, "", figures)


def note(name: str, text: str, remedy: str = "", **figures: Any) -> Finding:
    """Return a finding that is worth knowing."""
    return Finding(name, NOTE, text, remedy, figures)


def fault(name: str, text: str, remedy: str, **figures: Any) -> Finding:
    """Return a finding that must be seen to."""
    return Finding(name, FAULT, text, remedy, figures)
