# SPDX-License-Identifier: Apache-2.0
"""What the JSON files of bundles and codecs have to say, checked whole before anything of it is used.

Keys that no code here relies on are let through: a later version may have written them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from pathlib import Path, PurePosixPath
from typing import Any

from frankensplit.codec.tables import MAX_CHANNELS
from frankensplit.errors import BundleError
from frankensplit.geometry import Geometry
from frankensplit.reading import MAX_FILES, shown

CODEC_FORMAT = "frankensplit/1"
BUNDLE_FORMAT = "frankensplit-bundle/1"
CODEC_KEYS = {
    "format",
    "encoder_sha256",
    "tables_sha256",
    "nominal_height",
    "nominal_width",
    "stride",
    "multiple",
    "channels",
    "encoder",
}
OPTIONAL_CODEC_KEYS = {"contexts_sha256", "levels"}
LEVEL_KEYS = {"step", "tables_sha256"}
OPTIONAL_LEVEL_KEYS = {"contexts_sha256"}
MIN_STEP, MAX_STEP = 1e-6, 1e6  # a step and its inverse are float32 on the way
MAX_LEVELS = 256  # a packet has a byte for the level
MAX_FRAME_PIXELS = 1 << 23  # of the network's largest frame, padding included: a 4K camera's, 3840x2176
MAX_MULTIPLE = 256  # pixels that frames are padded to; backbones need 32, a few 64
MAX_LATENT = 1 << 24  # symbols of the largest frame; their int32 are 64 MiB
FP32 = "fp32"
PRECISION_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
MAX_PRECISIONS = 16
MAX_PATH = 255  # characters of a file's path inside of a bundle
MAX_NAME = 100  # characters of a bundle's, head's or network's name
MAX_CLASS_NAME = 200  # characters
MAX_HEADS = 64
MAX_CLASSES = 1 << 16  # ImageNet-21k has 21,841
BYTE = 255  # the largest index of a mask, the largest part of a colour
DIGEST = re.compile(r"[0-9a-f]{64}")  # SHA-256
AGAIN = "fetch or export the bundle again"


def check_codec(file: Path, manifest: dict[str, Any]) -> None:
    """Check the content of ``codec.json``; raises BundleError."""
    place = str(file)
    if manifest.get("format") != CODEC_FORMAT:
        raise BundleError(
            f"{file.parent} has codec format {shown(manifest.get('format'))}, expected {CODEC_FORMAT!r}"
        )
    _check_keys(place, manifest, CODEC_KEYS, OPTIONAL_CODEC_KEYS)
    for key in ("nominal_height", "nominal_width", "stride", "multiple", "channels"):
        _need(_is_int(manifest[key], 1, MAX_CHANNELS), place, key, manifest[key], "an integer in 1..65535")
    _check_text(place, "encoder", manifest["encoder"], MAX_NAME)
    _check_digests(place, manifest)
    _check_sizes(place, manifest)
    _check_levels(place, manifest.get("levels", []))


def check_precisions(file: Path, entries: dict[str, Any]) -> None:
    """Check the content of ``precisions.json``; raises BundleError."""
    _need(len(entries) <= MAX_PRECISIONS, str(file), "it", list(entries), f"at most {MAX_PRECISIONS} names")
    for name, entry in entries.items():
        named = PRECISION_NAME.fullmatch(name) and len(name) <= MAX_NAME and name != FP32
        if not named or not isinstance(entry, dict):
            raise BundleError(f"{file} has {shown(name)}, expected names such as int8, each with an object")
        _check_digest(str(file), name, entry.get("sha256"))


def check_bundle(file: Path, manifest: dict[str, Any]) -> None:
    """Check the content of ``manifest.json``; raises BundleError."""
    place = str(file)
    if manifest.get("format") != BUNDLE_FORMAT:
        raise BundleError(
            f"{file.parent} has format {shown(manifest.get('format'))}, expected {BUNDLE_FORMAT!r}"
        )
    check_files(file, manifest.get("files"))
    _check_text(place, "name", manifest.get("name"), MAX_NAME)
    _check_text(place, "codec_id", manifest.get("codec_id"), MAX_NAME)
    server = manifest.get("server")
    _need(isinstance(server, dict), place, "server", server, "an object")
    if server:  # a bundle may be without networks
        _check_server(place, server)


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
        _check_text(str(file), "the name of a file", name, MAX_PATH)
        _check_digest(str(file), name, digest)
    return files


def check_labels(file: Path, labels: dict[str, Any], heads: Collection[str]) -> None:
    """Check the content of ``labels.json``, which has an entry for each of the heads; raises BundleError."""
    missing = [name for name in heads if name not in labels]
    _need(not missing, str(file), "an entry", missing, "one for each head of the manifest")
    _need(len(labels) <= MAX_HEADS, str(file), "it", list(labels), f"at most {MAX_HEADS} heads")
    for name, entry in labels.items():
        _check_text(str(file), "the name of a head", name, MAX_NAME)
        _need(isinstance(entry, dict), str(file), name, entry, "an object")
        _check_head_labels(f"{file}, {name}", entry)


def _check_head_labels(place: str, entry: dict[str, Any]) -> None:
    classes: Any = entry.get("classes")
    _need(
        isinstance(classes, list) and 1 <= len(classes) <= MAX_CLASSES,
        place,
        "classes",
        classes,
        f"1 to {MAX_CLASSES} names",
    )
    for name in classes:
        _check_text(place, "the name of a class", name, MAX_CLASS_NAME)
    kinds = {
        "colors": (_are(entry.get("colors"), len(classes), _is_colour), "three integers in 0..255 a class"),
        "frequency": (_are(entry.get("frequency"), len(classes), _is_share), "a number from 0 to 1 a class"),
        "mask_indices": (
            _are(entry.get("mask_indices"), len(classes), _is_byte),
            "an index in 0..255 a class",
        ),
        "ignore": (_is_byte(entry.get("ignore")), "an integer in 0..255"),
        "exclusive": (isinstance(entry.get("exclusive"), bool), "true or false"),
        "head": (isinstance(entry.get("head"), str), "the kind of the head"),
    }
    for key, (fits, expected) in kinds.items():
        _need(key not in entry or fits, place, key, entry.get(key), expected)


def _check_server(place: str, server: dict[str, Any]) -> None:
    for part, names in (("backbone", "model"), ("blueprint", "family")):
        spec: Any = server.get(part)
        _need(isinstance(spec, dict), place, f"server.{part}", spec, "an object")
        _check_text(place, f"server.{part}.{names}", spec.get(names), MAX_NAME)
        arguments = spec.get("arguments")
        _need(isinstance(arguments, dict), place, f"server.{part}.arguments", arguments, "an object")
    width = server["blueprint"].get("adapter", 1)
    _need(_is_int(width, 1, MAX_CHANNELS), place, "server.blueprint.adapter", width, "an integer in 1..65535")
    heads: Any = server.get("heads")
    _need(
        isinstance(heads, list) and len(heads) <= MAX_HEADS,
        place,
        "server.heads",
        heads,
        f"at most {MAX_HEADS} names",
    )
    for name in heads:
        _check_text(place, "the name of a head", name, MAX_NAME)
    _need(len(set(heads)) == len(heads), place, "server.heads", heads, "no name twice")


def _check_sizes(place: str, manifest: dict[str, Any]) -> None:
    """Keep the largest frame, and the latent of one, payable."""
    multiple, stride = manifest["multiple"], manifest["stride"]
    _need(multiple <= MAX_MULTIPLE, place, "multiple", multiple, f"at most {MAX_MULTIPLE}")
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
        if not isinstance(level, dict):
            raise BundleError(f"{at} is {shown(level)}, expected an object")
        _check_keys(at, level, LEVEL_KEYS, OPTIONAL_LEVEL_KEYS)
        step = level["step"]
        _need(_is_number(step, MIN_STEP, MAX_STEP), at, "step", step, f"{MIN_STEP:g} to {MAX_STEP:g}")
        _check_digests(at, level)


def _check_keys(place: str, found: dict[str, Any], required: set[str], optional: set[str]) -> None:
    if not required <= set(found) <= required | optional:
        raise BundleError(
            f"{place} has keys {shown(sorted(found))}, expected {sorted(required)} and perhaps {sorted(optional)}"
        )


def _check_digests(place: str, entry: dict[str, Any]) -> None:
    for key, value in entry.items():
        if key.endswith("_sha256"):
            _check_digest(place, key, value)


def _check_digest(place: str, key: str, value: Any) -> None:
    fits = isinstance(value, str) and DIGEST.fullmatch(value)
    _need(bool(fits), place, f"SHA-256 of {key}", value, "64 hex digits")


def _check_text(place: str, key: str, value: Any, most: int) -> None:
    fits = isinstance(value, str) and 1 <= len(value) <= most and value.isprintable()
    _need(fits, place, key, value, f"1 to {most} printable characters")


def _need(fits: bool, place: str, key: str, value: Any, expected: str) -> None:
    if not fits:
        raise BundleError(f"{place}: {key} is {shown(value)}, expected {expected}; {AGAIN}")


def _is_int(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_number(value: Any, least: float, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def _is_byte(value: Any) -> bool:
    return _is_int(value, 0, BYTE)


def _is_share(value: Any) -> bool:
    return _is_number(value, 0, 1)


def _is_colour(value: Any) -> bool:
    return _are(value, 3, _is_byte)


def _are(values: Any, count: int, fits: Callable[[Any], bool]) -> bool:
    return isinstance(values, list) and len(values) == count and all(map(fits, values))
