# SPDX-License-Identifier: Apache-2.0
"""Bundles and codecs on disk: find, verify every hash, open. No torch, no pickle.

A *codec* folder holds what the robot needs; a *bundle* folder holds a codec and the server's weights::

    manifest.json  labels.json  card.md
    codec/   codec.json  encoder.onnx  tables.npz  [contexts.npz]  [tables.1.npz  contexts.1.npz  ...]
             [precisions.json  encoder.fp16.onnx  encoder.int8.onnx  ...]
    server/  blueprint.safetensors  backbone.safetensors  heads.safetensors

The codec id is the first 8 bytes of SHA-256 over ``codec.json`` in canonical form (keys sorted, no spaces), which
names the hashes of the fp32 encoder and of each level's tables; so two codecs with one id give and take the same
packets. Encoders of other precisions are no part of it: their packets are read by the same tables.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frankensplit.codec import rans
from frankensplit.codec.context import Contexts
from frankensplit.codec.packet import Packet
from frankensplit.codec.tables import Tables
from frankensplit.errors import BundleError, PacketError, SymbolError
from frankensplit.geometry import Geometry
from frankensplit.kinds import check_values
from frankensplit.manifest import NAME, check_manifest
from frankensplit.places import share_folders
from frankensplit.writing import Kind, write_file

CODEC_FORMAT = "frankensplit/1"
BUNDLE_FORMAT = "frankensplit-bundle/1"
MAX_SOURCE_PIXELS = 1 << 26  # results have the source's size: what a forged packet declares must stay payable
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
FP32 = "fp32"
PRECISIONS = (FP32, "fp16", "int8")  # that a codec may have an encoder of
FOR_CPUS = "-cpu"  # ends the name of an encoder that runtimes on CPUs take in place of the one without it
PRECISION_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hex digits."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def canonical_json(value: Any) -> bytes:
    """Return the one byte form of a JSON value that ids are computed over."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def codec_id(manifest: dict[str, Any]) -> bytes:
    """Return the 8 bytes that name a codec in every packet."""
    return hashlib.sha256(canonical_json(manifest)).digest()[:8]


@dataclass(frozen=True)
class Level:
    """A quality level: symbols are ``round((latent - median) / step)``, coded with these tables.

    Args:
        step: level 0 has step 1; a larger one gives smaller packets.
        tables: one a channel.
        contexts: shared tables chosen by neighbours, for packets that they make smaller; None: there are none.
    """

    step: float
    tables: Tables
    contexts: Contexts | None = None


@dataclass(frozen=True)
class Codec:
    """Encoder and integer tables: all that the robot needs, and what the server needs to read its packets.

    Args:
        path: its folder.
        manifest: what ``codec.json`` holds.
        levels: best quality first, 1 to 256.
        precisions: of the encoders there are, ``fp32`` first.
    """

    path: Path
    manifest: dict[str, Any]
    levels: tuple[Level, ...]
    precisions: tuple[str, ...] = (FP32,)

    @classmethod
    def open(cls, folder: str | Path) -> Codec:
        """Open a codec folder, or the ``codec/`` of a bundle folder or name, and verify its hashes.

        Raises:
            BundleError: a file is missing or changed, or the format is unknown.
            TablesError: a file of tables or contexts breaks their rules.
        """
        path = find_bundle(folder)
        path = path / "codec" if (path / "codec").is_dir() else path
        manifest = _read_json(path / "codec.json")
        _check_codec_manifest(path, manifest)
        others = _read_precisions(path)
        for name, expected in _hashes(manifest, others).items():
            _check_hash(path / name, expected)
        entries = [{**manifest, "step": 1.0}, *manifest.get("levels", [])]
        levels = tuple(
            _open_level(path, number, entry, manifest["channels"]) for number, entry in enumerate(entries)
        )
        return cls(path, manifest, levels, (FP32, *(name for name in others if not name.endswith(FOR_CPUS))))

    @property
    def tables(self) -> Tables:
        """Level 0's tables."""
        return self.levels[0].tables

    @cached_property
    def id(self) -> bytes:
        """The 8 bytes by which packets name this codec."""
        return codec_id(self.manifest)

    @property
    def id_hex(self) -> str:
        """The id as 16 hex digits."""
        return self.id.hex()

    @property
    def encoder_path(self) -> Path:
        """The ONNX encoder in fp32: ``uint8 [1, H, W, 3]`` to ``int32 [1, C, H/8, W/8]``."""
        return self.path / "encoder.onnx"

    def encoder_file(self, precision: str = FP32) -> Path:
        """Return the ONNX encoder of one of ``precisions``.

        Raises:
            BundleError: the codec has no such encoder.
        """
        if precision not in self.precisions:
            raise BundleError(
                f"{self.path} has no encoder of precision {precision!r}, only {', '.join(self.precisions)}; "
                "`frankensplit export` makes others"
            )
        return self.encoder_path if precision == FP32 else self.path / f"encoder.{precision}.onnx"

    @property
    def channels(self) -> int:
        """Latent channels C."""
        return int(self.manifest["channels"])

    @property
    def nominal_height(self) -> int:
        """Height in pixels of the box that images are scaled to fit."""
        return int(self.manifest["nominal_height"])

    @property
    def nominal_width(self) -> int:
        """Width in pixels of the box that images are scaled to fit."""
        return int(self.manifest["nominal_width"])

    @property
    def stride(self) -> int:
        """Input pixels a latent pixel, along each axis."""
        return int(self.manifest["stride"])

    def geometry(self, source_height: int, source_width: int) -> Geometry:
        """Return the geometry of images of this size, the same on robot and server."""
        multiple = int(self.manifest["multiple"])
        return _geometry(source_height, source_width, self.nominal_height, self.nominal_width, multiple)

    @property
    def largest(self) -> tuple[int, int]:
        """Height and width in pixels of the largest frame that the network is given, padding included."""
        geometry = self.geometry(self.nominal_height, self.nominal_width)
        return geometry.padded_height, geometry.padded_width

    def level(self, number: int) -> Level:
        """Return a quality level.

        Raises:
            SymbolError: the codec has no such level.
        """
        if not 0 <= number < len(self.levels):
            raise SymbolError(f"quality level {number}: {self._levels_there_are}")
        return self.levels[number]

    def latent_shape(self, source_height: int, source_width: int) -> tuple[int, int, int]:
        """Return the (C, h, w) that an image of this size is coded as."""
        geometry = self.geometry(source_height, source_width)
        return self.channels, geometry.padded_height // self.stride, geometry.padded_width // self.stride

    def pack(
        self, symbols: NDArray[np.int32], source_height: int, source_width: int, level: int = 0
    ) -> bytes:
        """Code int32 symbols ``(C, h, w)`` of a quality level into one self-contained packet, the smallest there is.

        Raises:
            SymbolError: the shape does not belong to an image of this size, a symbol is out of range, or the codec has
                no such level.
        """
        coded_with = self.level(level)
        if source_height * source_width > MAX_SOURCE_PIXELS:
            raise SymbolError(
                f"image of {source_width}x{source_height}, expected at most {MAX_SOURCE_PIXELS} pixels"
            )
        expected = self.latent_shape(source_height, source_width)
        if symbols.shape != expected:
            raise SymbolError(
                f"latent has shape {symbols.shape}, an image of {source_width}x{source_height} is coded as {expected}"
            )
        payload, context_coded = rans.encode_smaller(symbols, coded_with.tables, coded_with.contexts)
        packet = Packet(
            level=level,
            codec_id=self.id,
            source_height=source_height,
            source_width=source_width,
            shape=expected,
            payload=payload,
            context_coded=context_coded,
        )
        return packet.to_bytes()

    def unpack(self, data: bytes) -> tuple[NDArray[np.int32], Packet]:
        """Decode a packet of this codec into int32 symbols ``(C, h, w)``.

        Raises:
            PacketError: the packet is damaged, of another codec, or of a shape that this codec never makes.
        """
        packet = Packet.from_bytes(data)
        if packet.codec_id != self.id:
            raise PacketError(
                f"packet of codec {packet.codec_id.hex()}, this is codec {self.id_hex}: "
                "start edge and server with the same bundle"
            )
        if packet.level >= len(self.levels):
            raise PacketError(f"packet of quality level {packet.level}: {self._levels_there_are}")
        if packet.source_height * packet.source_width > MAX_SOURCE_PIXELS:
            raise PacketError(
                f"packet of a {packet.source_width}x{packet.source_height} image, expected at most "
                f"{MAX_SOURCE_PIXELS} pixels; it is forged, drop it"
            )
        expected = self.latent_shape(packet.source_height, packet.source_width)
        if packet.shape != expected:
            raise PacketError(
                f"packet declares a latent of {packet.shape}, a {packet.source_width}x{packet.source_height} image "
                f"is coded as {expected}"
            )
        return self._decode(packet), packet

    def _decode(self, packet: Packet) -> NDArray[np.int32]:
        level = self.levels[packet.level]
        if not packet.context_coded:
            return rans.decode(packet.payload, packet.shape, level.tables)
        if level.contexts is None:
            raise PacketError(
                f"packet is context-coded, level {packet.level} of codec {self.id_hex} has no contexts; it is forged, "
                "drop it"
            )
        return rans.decode_in_context(packet.payload, packet.shape, level.contexts)

    @property
    def _levels_there_are(self) -> str:
        return f"codec {self.id_hex} has level{'s 0 to' * (len(self.levels) > 1)} {len(self.levels) - 1}"


@dataclass(frozen=True)
class Bundle:
    """A codec with the server's blueprint, backbone and heads; every file verified against the manifest."""

    path: Path
    manifest: dict[str, Any]
    labels: dict[str, Any]
    codec: Codec

    @classmethod
    def open(cls, name_or_path: str | Path) -> Bundle:
        """Find a bundle by name or path and verify the hash of each file.

        Raises:
            BundleError: it is missing, incomplete, changed, or of an unknown format.
        """
        path = find_bundle(name_or_path)
        manifest = _read_json(path / "manifest.json")
        if manifest.get("format") != BUNDLE_FORMAT:
            raise BundleError(f"{path} has format {manifest.get('format')!r}, expected {BUNDLE_FORMAT!r}")
        files = manifest.get("files")
        if not isinstance(files, dict) or not files:
            raise BundleError(f"{path / 'manifest.json'} lists no files: export the bundle again")
        for name, expected in files.items():
            _check_hash(_inside(path, name), expected)
        codec = Codec.open(path)
        if manifest.get("codec_id") != codec.id_hex:
            raise BundleError(
                f"{path} belongs to codec {manifest.get('codec_id')}, its codec/ is {codec.id_hex}"
            )
        labels = _read_json(path / "labels.json")
        check_manifest(manifest, labels)
        return cls(path, manifest, labels, codec)

    @property
    def name(self) -> str:
        """The bundle's name."""
        return str(self.manifest["name"])

    @property
    def server(self) -> dict[str, Any]:
        """How to build blueprint, backbone and heads: names and arguments."""
        return dict(self.manifest["server"])

    def weights(self, part: str) -> Path:
        """Return the safetensors file of ``blueprint``, ``backbone`` or ``heads``."""
        return self.path / "server" / f"{part}.safetensors"


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write ``manifest.json`` over the files now in a bundle folder, hashes included."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "manifest.json")
    hashes = {p.relative_to(folder).as_posix(): sha256_of(p) for p in files}
    text = json.dumps({"format": BUNDLE_FORMAT, **manifest, "files": hashes}, indent=1) + "\n"
    write_file(folder / "manifest.json", text)


def copy_files(bundle: Bundle, folder: Path) -> None:
    """Copy the files that a bundle's manifest lists, and the manifest."""
    for name in ("manifest.json", *bundle.manifest["files"]):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle.path / name, folder / name)


def _is_bundle(folder: Path) -> bool:
    try:
        return _read_json(folder / "manifest.json").get("format") == BUNDLE_FORMAT
    except (BundleError, AttributeError):
        return False


BUNDLE = Kind(
    "bundle",
    re.compile(
        r"manifest\.json|labels\.json|card\.md|codec/(codec|precisions)\.json|codec/encoder(\.[a-z0-9-]+)?\.onnx"
        r"|codec/(tables|contexts)(\.[0-9]+)?\.npz|server/(blueprint|backbone|heads|densities)\.safetensors"
    ),
    frozenset({"codec", "server"}),
    _is_bundle,
)


def find_bundle(name_or_path: str | Path) -> Path:
    """Return the folder of a bundle or codec: a path, or a name among the installed bundles.

    Raises:
        BundleError: no such folder; the text lists where it was looked for.
    """
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        return path.resolve()
    places = (
        [place / "bundles" / str(name_or_path) for place in share_folders()]
        if path.name == str(name_or_path)
        else []
    )
    for place in places:
        if place.is_dir():
            return place
    looked = ", ".join(str(p) for p in [path, *places])
    raise BundleError(
        f"no bundle {str(name_or_path)!r}: looked at {looked}; give a folder or an installed name"
    )


@lru_cache(maxsize=64)
def _geometry(*sizes: int) -> Geometry:
    """Work it out once for all frames of a camera: that takes a hundredth of a small network's time."""
    return Geometry(*sizes)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as err:
        raise BundleError(f"cannot read {path}: {err.strerror}; is {path.parent} a bundle?") from err
    except ValueError as err:
        raise BundleError(f"{path} is no JSON: {err}; fetch or export the bundle again") from err
    if not isinstance(value, dict):
        raise BundleError(f"{path} holds a {type(value).__name__}, expected an object")
    return value


def _inside(folder: Path, name: str) -> Path:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise BundleError(f"manifest names {name!r}, which lies outside {folder}")
    return path


def _check_hash(path: Path, expected: Any) -> None:
    if not path.is_file():
        raise BundleError(f"{path} is missing: fetch or export the bundle again")
    found = sha256_of(path)
    if found != expected:
        raise BundleError(
            f"{path} has SHA-256 {found}, expected {expected}: fetch or export the bundle again"
        )


def _check_codec_manifest(path: Path, manifest: dict[str, Any]) -> None:
    file = path / "codec.json"
    if manifest.get("format") != CODEC_FORMAT:
        raise BundleError(f"{path} has codec format {manifest.get('format')!r}, expected {CODEC_FORMAT!r}")
    _check_keys(str(file), manifest, CODEC_KEYS, OPTIONAL_CODEC_KEYS)
    for key in ("nominal_height", "nominal_width", "stride", "multiple", "channels"):
        if not isinstance(manifest[key], int) or not 1 <= manifest[key] <= 65535:
            raise BundleError(f"{file} has {key} = {manifest[key]!r}, expected an integer in 1..65535")
    check_values(str(file), manifest, {"encoder": NAME}, rest=True)
    if manifest["multiple"] % manifest["stride"]:
        raise BundleError(f"{file}: multiple {manifest['multiple']} is no multiple of the stride")
    _check_levels(file, manifest.get("levels", []))


def _check_keys(place: str, found: dict[str, Any], required: set[str], optional: set[str]) -> None:
    if not required <= set(found) <= required | optional:
        raise BundleError(
            f"{place} has keys {sorted(found)}, expected {sorted(required)} and perhaps {sorted(optional)}"
        )


def _check_levels(file: Path, levels: Any) -> None:
    if not isinstance(levels, list) or len(levels) >= MAX_LEVELS:
        raise BundleError(
            f"{file}: levels must be a list of at most {MAX_LEVELS - 1}: export the codec again"
        )
    for number, level in enumerate(levels, 1):
        if not isinstance(level, dict):
            raise BundleError(f"{file}: level {number} is {level!r}, expected an object")
        _check_keys(f"{file}: level {number}", level, LEVEL_KEYS, OPTIONAL_LEVEL_KEYS)
        step = level["step"]
        if isinstance(step, bool) or not isinstance(step, (int, float)) or not MIN_STEP <= step <= MAX_STEP:
            raise BundleError(
                f"{file}: level {number} has step {step!r}, expected {MIN_STEP:g} to {MAX_STEP:g}"
            )


def level_file(kind: str, level: int) -> str:
    """Name the file of a level's ``tables`` or ``contexts`` in a codec folder."""
    return f"{kind}.{level}.npz" if level else f"{kind}.npz"


def _open_level(path: Path, number: int, entry: dict[str, Any], channels: int) -> Level:
    tables_file = path / level_file("tables", number)
    tables = Tables.load(tables_file)
    _check_channels(tables_file, tables.channels, channels)
    if "contexts_sha256" not in entry:
        return Level(float(entry["step"]), tables)
    contexts_file = path / level_file("contexts", number)
    contexts = Contexts.load(contexts_file)
    _check_channels(contexts_file, contexts.channels, channels)
    return Level(float(entry["step"]), tables, contexts)


def _check_channels(file: Path, found: int, expected: int) -> None:
    if found != expected:
        raise BundleError(f"{file} has {found} channels, codec.json says {expected}: export the codec again")


def files_of_codec(path: Path) -> dict[str, Any]:
    """Return the SHA-256 that each file of a codec folder is to have, by name; ``codec.json`` is not among them.

    Raises:
        BundleError: the folder has no manifest of a codec.
    """
    manifest = _read_json(path / "codec.json")
    _check_codec_manifest(path, manifest)
    return _hashes(manifest, _read_precisions(path))


def _hashes(manifest: dict[str, Any], precisions: dict[str, Any]) -> dict[str, Any]:
    hashes = {"encoder.onnx": manifest["encoder_sha256"]}
    for number, level in enumerate((manifest, *manifest.get("levels", []))):
        for kind in ("tables", "contexts"):
            if f"{kind}_sha256" in level:
                hashes[level_file(kind, number)] = level[f"{kind}_sha256"]
    return hashes | {f"encoder.{name}.onnx": one.get("sha256") for name, one in precisions.items()}


def _read_precisions(path: Path) -> dict[str, Any]:
    """Return what is said of the encoders of other precisions, by name."""
    file = path / "precisions.json"
    if not file.exists():
        return {}
    entries = _read_json(file)
    for name, entry in entries.items():
        if not PRECISION_NAME.fullmatch(name) or name == FP32 or not isinstance(entry, dict):
            raise BundleError(f"{file} has {name!r}, expected names such as int8, each with an object")
    return entries
