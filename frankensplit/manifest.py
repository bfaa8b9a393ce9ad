# SPDX-License-Identifier: Apache-2.0
"""What the JSON files of bundles and codecs have to say, checked whole before anything of it is used.

Keys that no code here relies on are let through: a later version may have written them. Arguments of networks are
checked by the families that take them, in ``frankensplit.models``.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Any

from frankensplit.codec.tables import MAX_CHANNELS
from frankensplit.errors import BundleError, shown
from frankensplit.geometry import Geometry
from frankensplit.kinds import (
    NEXT,
    Allowed,
    FileName,
    Matching,
    Name,
    Number,
    Several,
    TrueOrFalse,
    Whole,
    check_values,
)
from frankensplit.reading import MAX_FILES

CODEC_FORMAT = "frankensplit/1"
BUNDLE_FORMAT = "frankensplit-bundle/1"
FP32 = "fp32"
DIGEST = re.compile(r"[0-9a-f]{64}")  # SHA-256
MAX_FRAME_PIXELS = 1 << 23  # the network's largest frame, padding included: 4K, 3840x2176
MAX_LATENT = 1 << 24  # symbols of the largest frame; their int32 are 64 MiB
MAX_LEVELS = 256  # a packet has a byte for the level
MAX_PRECISIONS = 16
MAX_HEADS = 64
# Topics of the nodes; a head's name is a topic, too.
TOPICS = frozenset({"overlay", "report", "latent", "image"})
MAX_CLASSES = 1 << 16  # most classes of a head; ImageNet-22k has 21,841
SHA256 = Matching(DIGEST.pattern, "the 64 hex digits of a SHA-256")
NAME = Name(200)
MAX_PATH = 255  # characters of the path of a file inside of a bundle
PATH = Name(MAX_PATH)
BUNDLE_NAME = FileName(100)  # runs, caches and derived bundles are named after it; a file name has 255 bytes
CLASS_NAME = Name(200)  # ImageNet's longest has 121 characters
HEAD_NAME = Matching(r"[a-z][a-z0-9_]{0,63}", "'segmentation'")  # a part of a topic's name
PRECISION = Matching(r"(?!fp32$)[a-z0-9][a-z0-9-]{0,63}", "'int8'")
SIZE = Whole(1, MAX_CHANNELS)  # packets have 16 bits for it
MULTIPLE = Whole(1, 256)  # pixels that frames are padded to; backbones need 32, a few 64
STEP = Number(1e-6, 1e6)  # a step and its inverse are float32 on the way
WIDTH = Whole(1, 8192)  # channels; the widest stage that timm has is 3072
BYTE = Whole(0, 255)

CODEC: Allowed = {
    "encoder": NAME,
    "encoder_sha256": SHA256,
    "tables_sha256": SHA256,
    "nominal_height": SIZE,
    "nominal_width": SIZE,
    "stride": SIZE,
    "multiple": MULTIPLE,
    "channels": SIZE,
}
OPTIONAL_CODEC: Allowed = {"contexts_sha256": SHA256}
LEVEL: Allowed = {"step": STEP, "tables_sha256": SHA256}
OPTIONAL_LEVEL: Allowed = {"contexts_sha256": SHA256}
BUNDLE: Allowed = {"name": BUNDLE_NAME, "codec_id": NAME}
SERVER: Allowed = {"heads": Several(HEAD_NAME, 0, MAX_HEADS)}
BACKBONE: Allowed = {"model": NAME}
BLUEPRINT: Allowed = {"family": NAME, "adapter": WIDTH}
LABELS: Allowed = {
    "head": NAME,
    "classes": Several(CLASS_NAME, 1, MAX_CLASSES),
    "ignore": BYTE,
    "exclusive": TrueOrFalse(),
    "max_overlap": Number(0, 1),
}
A_CLASS: Allowed = {"colors": Several(BYTE, 3, 3), "frequency": Number(0, 1), "mask_indices": BYTE}


def check_codec(file: Path, manifest: dict[str, Any]) -> None:
    """Check the content of ``codec.json``; raises BundleError."""
    place = str(file)
    if manifest.get("format") != CODEC_FORMAT:
        raise BundleError(
            f"{file.parent} has codec format {shown(manifest.get('format'))}, expected {CODEC_FORMAT!r}"
        )
    _check_keys(place, manifest, {"format", *CODEC}, {"levels", *OPTIONAL_CODEC})
    check_values(place, manifest, {**CODEC, **OPTIONAL_CODEC}, rest=True)
    _check_sizes(place, manifest)
    _check_levels(place, manifest.get("levels", []))


def check_precisions(file: Path, entries: dict[str, Any]) -> None:
    """Check the content of ``precisions.json``; raises BundleError."""
    names = Several(PRECISION, 0, MAX_PRECISIONS)
    check_values(str(file), {"names": list(entries)}, {"names": names})
    for name, entry in entries.items():
        _check_object(f"{file}: {name}", entry, {"sha256": SHA256}, "sha256")


def check_bundle(file: Path, manifest: dict[str, Any]) -> None:
    """Check the content of ``manifest.json``; raises BundleError."""
    place = str(file)
    if manifest.get("format") != BUNDLE_FORMAT:
        raise BundleError(
            f"{file.parent} has format {shown(manifest.get('format'))}, expected {BUNDLE_FORMAT!r}"
        )
    check_files(file, manifest.get("files"))
    _check_object(place, manifest, BUNDLE, *BUNDLE, "server")
    server = manifest["server"]
    _check_object(f"{place}: server", server, SERVER, "backbone", "blueprint", *SERVER)
    for part, allowed, key in (("backbone", BACKBONE, "model"), ("blueprint", BLUEPRINT, "family")):
        _check_object(f"{place}: {part}", server[part], allowed, key, "arguments")
        check_values(f"{place}: {part}: arguments", server[part]["arguments"], {}, rest=True)
    if taken := sorted(TOPICS.intersection(server["heads"])):
        raise BundleError(f"{place} has heads {', '.join(taken)}, which are other topics of a server; {NEXT}")
    if len(set(server["heads"])) < len(server["heads"]):
        raise BundleError(f"{place} has heads {shown(server['heads'])}, expected no name twice; {NEXT}")


def check_files(file: Path, files: Any) -> dict[str, str]:
    """Return the SHA-256 of each file that a bundle lists, by its path inside of the bundle; raises BundleError."""
    if not isinstance(files, dict) or not 1 <= len(files) <= MAX_FILES:
        raise BundleError(f"{file} lists no files, or more than {MAX_FILES}: export the bundle again")
    for name, digest in files.items():
        path = PurePosixPath(name)
        inside = path.name and not path.is_absolute() and ".." not in path.parts
        if not inside or str(path) != name or name == file.name:
            raise BundleError(
                f"{file} names {shown(name)}, which lies outside of the bundle or is not a file"
            )
        about = {"the name of a file": name, f"the SHA-256 of {name}": digest}
        check_values(str(file), about, dict(zip(about, (PATH, SHA256), strict=True)))
    return files


def check_labels(file: Path, labels: dict[str, Any], heads: Collection[str]) -> None:
    """Check the content of ``labels.json``, which has an entry for each of the heads; raises BundleError."""
    check_values(str(file), {"heads": list(labels)}, {"heads": Several(HEAD_NAME, 0, MAX_HEADS)})
    _check_object(str(file), labels, {}, *heads)
    for name, entry in labels.items():
        what = f"{file}: head {name}"
        _check_object(what, entry, LABELS, "classes")
        count = len(entry["classes"])
        check_values(
            what, entry, {key: Several(kind, count, count) for key, kind in A_CLASS.items()}, rest=True
        )


def _check_sizes(place: str, manifest: dict[str, Any]) -> None:
    """Keep the largest frame, and the latent of one, payable."""
    multiple, stride = manifest["multiple"], manifest["stride"]
    if multiple % stride:
        raise BundleError(f"{place}: multiple {multiple} is not a multiple of the stride {stride}")
    nominal = manifest["nominal_height"], manifest["nominal_width"]
    largest = Geometry(*nominal, *nominal, multiple)
    pixels = largest.padded_height * largest.padded_width
    if pixels > MAX_FRAME_PIXELS:
        raise BundleError(
            f"{place}: its largest frame is {largest.padded_width}x{largest.padded_height}, expected at most "
            f"{MAX_FRAME_PIXELS} pixels; export the codec for smaller frames"
        )
    symbols = manifest["channels"] * pixels // stride**2
    if symbols > MAX_LATENT:
        raise BundleError(f"{place}: its largest frame has {symbols} symbols, expected at most {MAX_LATENT}")


def _check_levels(place: str, levels: Any) -> None:
    if not isinstance(levels, list) or len(levels) >= MAX_LEVELS:
        raise BundleError(
            f"{place}: levels must be a list of at most {MAX_LEVELS - 1}: export the codec again"
        )
    for number, level in enumerate(levels, 1):
        at = f"{place}: level {number}"
        check_values(at, level, {}, rest=True)
        _check_keys(at, level, set(LEVEL), set(OPTIONAL_LEVEL))
        check_values(at, level, {**LEVEL, **OPTIONAL_LEVEL})


def _check_keys(place: str, found: dict[str, Any], required: set[str], optional: set[str]) -> None:
    if not required <= set(found) <= required | optional:
        raise BundleError(
            f"{place} has keys {shown(sorted(found))}, expected {sorted(required)} and perhaps {sorted(optional)}"
        )


def _check_object(what: str, values: Any, allowed: Allowed, *needed: str) -> None:
    """Refuse what is not an object, lacks a name, or has a listed value of another type or out of range."""
    check_values(what, values, allowed, rest=True)
    if missing := [name for name in needed if name not in values]:
        raise BundleError(f"{what} lacks {', '.join(map(shown, missing))}; {NEXT}")
