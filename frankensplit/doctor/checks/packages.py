# SPDX-License-Identifier: Apache-2.0
"""What an edge node, a server and a training need: whether it is installed, and works where somebody asks for it."""

from __future__ import annotations

from collections.abc import Iterator

from frankensplit.doctor.finding import Finding, fault, note, ok
from frankensplit.doctor.machine import Machine
from frankensplit.needs import NEEDS, PARTS, brought_by, missing

TITLE = "packages"
ORDER = 45
# The statement that shows whether a package works, where it differs from `import NAME`.
IMPORTED_AS = {
    "timm": "frankensplit.models.timm_import",
    "torchvision": "frankensplit.models.timm_import",
    "compressai": "frankensplit.models.entropy",
}


def check(machine: Machine) -> Iterator[Finding]:
    """Look at the parts that this machine is to be, or at all."""
    for part in PARTS:
        if part in machine.parts:
            yield _asked(machine, part)
        elif not machine.parts:
            yield _possible(part)


def _asked(machine: Machine, part: str) -> Finding:
    absent = missing(part)
    found = {name: machine.imports(_module(name)) for name in NEEDS[part] if name not in absent}
    broken = {name: one.text for name, one in found.items() if one.state != "works"}
    if not absent and not broken:
        versions = (f"{name} {one.text}".strip() for name, one in found.items())
        return ok(part, ", ".join(versions))
    troubles = [f"{name} is not installed" for name in absent]
    troubles += [f"{name} cannot be imported ({text})" for name, text in broken.items()]
    return fault(part, "; ".join(troubles), brought_by(part, [*absent, *broken]))


def _possible(part: str) -> Finding:
    absent = missing(part)
    if not absent:
        return ok(part, "all that it needs is installed")
    remedy = f"if this machine is to be one: {brought_by(part, absent)}; then doctor --for {part}"
    return note(part, f"not here, for want of {', '.join(absent)}", remedy)


def _module(name: str) -> str:
    """Return what to import: the package of messages alone loads nothing."""
    return f"{name}.msg" if name.endswith("_msgs") else IMPORTED_AS.get(name, name)
