# SPDX-License-Identifier: Apache-2.0
"""The bundle or codec: every hash, and which precisions and quality levels there are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from frankensplit.bundle import MAX_ENCODER_BYTES, PIN, Bundle, Codec, digest, find_bundle
from frankensplit.doctor.finding import Finding, fault, note, ok
from frankensplit.doctor.machine import Machine
from frankensplit.edge.onnx_file import check_encoder
from frankensplit.errors import BundleError, FrankensplitError, shown
from frankensplit.reading import files_in, read_bytes, read_json

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
    used = path if _has_server(path) else codec.path
    pinned = digest(used)
    yield ok("bundle", f"{path}, {kind}, every hash is right", codec=codec.id_hex, digest=pinned)
    yield ok("codec", f"{codec.id_hex}, {len(codec.levels)} quality level(s), {size / 1000:,.0f} kB")
    yield ok("precisions", ", ".join(codec.precisions))
    beyond = beyond_reading(path)
    if beyond:
        yield note(
            "trust", f"the bundle would do: {'; '.join(beyond)}", "use it only if you trust who made it"
        )
    else:
        yield ok(
            "trust", f"the bundle would do nothing beyond being read; exactly this one is {used}{PIN}{pinned}"
        )


def beyond_reading(path: Path) -> list[str]:
    """Return what a bundle or codec would do beyond being read, or why it is not opened; most do nothing.

    Raises:
        BundleError: one of its files cannot be read at all.
    """
    return [*_outside_weights(path), *_unusual_encoders(path)]


def _outside_weights(path: Path) -> Iterator[str]:
    manifest = read_json(path / "manifest.json") if (path / "manifest.json").exists() else {}
    server = manifest.get("server")
    backbone = server.get("backbone") if isinstance(server, dict) else None
    weights = backbone.get("weights") if isinstance(backbone, dict) else None
    if weights is not None:
        named = weights if isinstance(weights, dict) else {"?": weights}
        told = ", ".join(f"{shown(key)}: {shown(value)}" for key, value in named.items())
        yield f"load the backbone's weights from outside of the bundle ({told})"


def _unusual_encoders(path: Path) -> Iterator[str]:
    folder = path / "codec" if (path / "codec").is_dir() else path
    for name in sorted(files_in(folder)):
        if name.endswith(".onnx"):
            try:
                check_encoder(read_bytes(folder / name, MAX_ENCODER_BYTES))
            except BundleError as err:
                yield f"run {name}, which is refused, since {err}"


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
