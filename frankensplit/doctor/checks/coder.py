# SPDX-License-Identifier: Apache-2.0
"""The entropy coder: compiled, or its slow twin."""

from __future__ import annotations

from collections.abc import Iterator

from frankensplit.codec import rans
from frankensplit.doctor.finding import Finding, fault, ok
from frankensplit.doctor.machine import Machine

TITLE = "entropy coder"
ORDER = 70


def check(machine: Machine) -> Iterator[Finding]:
    """Say which coder is in use."""
    if rans.IMPLEMENTATION == "c":
        yield ok("coder", "compiled")
    else:
        yield fault(
            "coder",
            "the twin in Python, which gives the same bytes and is far too slow for a camera",
            "build it: pip install . (or colcon build) with a C compiler and Python's headers",
        )
