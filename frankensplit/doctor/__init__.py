# SPDX-License-Identifier: Apache-2.0
"""What a machine has for frankensplit, what is wrong with it, and what to do about that.

A check is one file in ``checks/``, found by being there. It has

- ``TITLE``, the heading of its lines,
- ``ORDER``, an integer: checks run from low to high,
- ``FOR``, the parts that it says something about (``edge``, ``server``, ``train``), where these are not all,
- ``check(machine)``, which yields a :class:`Finding` for each thing that it looked at.

It imports neither torch nor rclpy, looks at the machine through the :class:`Machine` that it is given, and copes with
whatever is missing.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from typing import Protocol, cast

from frankensplit.doctor import checks
from frankensplit.doctor.finding import FAULT, LEVELS, NOTE, OK, Finding, fault
from frankensplit.doctor.machine import Machine
from frankensplit.needs import PARTS

__all__ = ["FAULT", "LEVELS", "NOTE", "OK", "Finding", "Machine", "check_modules", "examine"]


class CheckModule(Protocol):
    """What the module of a check has."""

    TITLE: str
    ORDER: int

    @staticmethod
    def check(machine: Machine) -> Iterator[Finding]:
        """Yield what there is to say."""


def check_modules() -> list[CheckModule]:
    """Return the modules of all checks in their order."""
    names = [found.name for found in pkgutil.iter_modules(checks.__path__)]
    modules = [cast("CheckModule", import_module(f"{checks.__name__}.{name}")) for name in names]
    return sorted(modules, key=lambda module: module.ORDER)


def examine(machine: Machine) -> Iterator[tuple[str, Finding]]:
    """Yield the title of a check with each thing that it finds, as it finds it."""
    for module in check_modules():
        if machine.parts and not set(machine.parts) & set(getattr(module, "FOR", PARTS)):
            continue
        for finding in _findings(module, machine):
            yield module.TITLE, finding


def _findings(module: CheckModule, machine: Machine) -> Iterator[Finding]:
    try:
        yield from module.check(machine)
    except Exception as err:  # an unexpected error in one check must not hide the others
        text = f"this check cannot cope with this machine: {type(err).__name__}: {err}"
        yield fault("check", text, "please report it with this line")
