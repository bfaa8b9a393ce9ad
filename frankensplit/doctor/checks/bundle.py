# SPDX-License-Identifier: Apache-2.0
"""The bundle or codec: every hash, and which precisions and quality levels there are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from frankensplit.bundle import Bundle, Codec, find_bundle
from frankensplit.doctor.finding import Finding, fault, note, ok
from frankensplit.doctor.machine import Machine
from frankensplit.errors import BundleError, FrankensplitError

TITLE = "bundle"
ORDER = 80
INSTALLED = "street"  # comes with the package
REMEDY = "copy the bundle again, or export it again"


def check(machine: Machine) -> Iterator[Finding]:
    """Open what the robot is to use."""
    try:
        path = _folder(machine)
    except BundleError as err:
        if machine.bundle is None:
            yield note(
                "bundle", f"none given, and {INSTALLED} is not installed: no frame is coded", "name a bundle"
            )
        else:
            yield fault("bundle", str(err), "give a folder or an installed name")
        return
    try:
        codec = _open(path)
    except FrankensplitError as err:
        yield fault("bundle", str(err), REMEDY)
        return
    size = sum(file.stat().st_size for file in codec.path.iterdir() if file.is_file())
    kind = "codec and server" if _has_server(path) else "codec, all that a robot needs"
    yield ok("bundle", f"{path}, {kind}, every hash is right", codec=codec.id_hex)
    yield ok("codec", f"{codec.id_hex}, {len(codec.levels)} quality level(s), {size / 1000:,.0f} kB")
    yield ok("precisions", ", ".join(codec.precisions))


def open_codec(machine: Machine) -> Codec | None:
    """Return the codec, None where there is none: what is wrong with it is said by the check."""
    try:
        return Codec.open(_folder(machine))
    except FrankensplitError:
        return None


def _folder(machine: Machine) -> Path:
    return find_bundle(INSTALLED if machine.bundle is None else machine.bundle)


def _has_server(path: Path) -> bool:
    return (path / "manifest.json").exists() and (path / "server").is_dir()


def _open(path: Path) -> Codec:
    return Bundle.open(path).codec if _has_server(path) else Codec.open(path)
