# SPDX-License-Identifier: Apache-2.0
"""Numbers as the page writes them; an en dash where there is none."""

from __future__ import annotations

NONE = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"


def size(payload_bytes: float | None) -> str:
    """Return bytes as kB of 1000 bytes, three digits."""
    if payload_bytes is None:
        return NONE
    return f"{payload_bytes:.0f} B" if payload_bytes < 999.5 else f"{digits(payload_bytes / 1000)} kB"


def kilobytes(payload_bytes: float | None, reached: bool = True) -> str:
    """Return bytes in kB without the unit; as a lower limit where what was asked for was not reached."""
    if payload_bytes is None:
        return NONE
    return f"{'' if reached else '> '}{digits(payload_bytes / 1000)}"


def digits(value: float | None) -> str:
    """Return a number with three digits, whole from 100 on."""
    if value is None:
        return NONE
    places = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return f"{value:,.{places}f}".replace("-", MINUS)


def points(value: float | None) -> str:
    """Return points lost or a metric's value, two places."""
    return NONE if value is None else f"{value:.2f}".replace("-", MINUS)


def interval(bounds: tuple[float, float] | None) -> str:
    """Return the two ends of an interval; nothing where there is none."""
    return "" if bounds is None else f"{points(bounds[0])} to {points(bounds[1])}"


def duration(ms: float | None) -> str:
    """Return milliseconds, or seconds from 10 s on."""
    if ms is None:
        return NONE
    return f"{digits(ms)} ms" if ms < 9_995 else f"{digits(ms / 1000)} s"


def count(value: float | None) -> str:
    """Return a count of parameters or operations, in millions (M) from a million on, then in billions (G)."""
    if value is None:
        return NONE
    if value < 999_500:
        return f"{value:,.0f}"
    return f"{digits(value / 1e6)} M" if value < 999.5e6 else f"{digits(value / 1e9)} G"


def percent(value: float | None) -> str:
    """Return a signed percentage, whole."""
    return NONE if value is None else f"{value:+.0f} %".replace("-", MINUS)
