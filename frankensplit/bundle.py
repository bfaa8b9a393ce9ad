# SPDX-License-Identifier: Apache-2.0
"""Bundles and codecs on disk: find, verify every hash, open. No torch, no pickle.

A *codec* folder holds what the robot needs; a *bundle* folder holds a codec and the server's weights::

    manifest.json  labels.json  card.md
    codec/   codec.json  encoder.onnx  tables.npz  [contexts.npz]  [tables.1.npz  contexts.1.npz  ...]
             [precisions.json  encoder.fp16.onnx  encoder.int8.onnx  ...]
    server/  blueprint.safetensors  backbone.safetensors  heads.safetensors

The codec id is the first 8 bytes of SHA-256 over ``codec.json`` in canonical form (keys sorted, no spaces), which
names the hashes of the fp32 encoder and of each level's tables; so two codecs with one id give and take the same
packets. Encoders of other precisions do not count: the same tables read their packets.

Every file is listed with its hash; a folder that holds others, or links, is refused. ``NAME@sha256:HEX`` names a bundle
that must have this :func:`digest`, which covers all of its files.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Collection
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
from frankensplit.errors import BundleError, PacketError, SymbolError, shown
from frankensplit.geometry import Geometry
from frankensplit.manifest import (
    BUNDLE_FORMAT,
    DIGEST,
    FP32,
    MAX_PATH,
    check_bundle,
    check_codec,
    check_files,
    check_labels,
    check_precisions,
)
from frankensplit.manifest import CODEC_FORMAT as CODEC_FORMAT
from frankensplit.places import share_folders, user_path
from frankensplit.reading import files_in, open_regular, read_json
from frankensplit.writing import FolderKind, write_file

# Results have the size that a packet declares; a forged packet must not exhaust the memory.
MAX_SOURCE_PIXELS = 1 << 26
MAX_CODEC_BYTES = 128 << 20  # all files of a codec together; ours have 2 MB with every precision
MAX_CODEC_JSON_BYTES = 1 << 20  # 256 levels take 50 kB; a robot has little memory for more
MAX_ENCODER_BYTES = 64 << 20  # one ONNX encoder; ours have 0.5 MB
MAX_WEIGHTS_BYTES = 8 << 30  # one file of the server: four billion parameters in float16
MAX_CARD_BYTES = 1 << 20
PIN = "@sha256:"  # separates a bundle's name from the digest that it must have
PRECISIONS = (FP32, "fp16", "int8")  # the precisions that an encoder may have
FOR_CPUS = "-cpu"  # suffix of an encoder's name: runtimes on CPUs prefer this encoder


def sha256_of(path: Path, limit: int = MAX_WEIGHTS_BYTES) -> str:
    """Return the SHA-256 of a regular file as 64 hex digits; raises BundleError where it cannot be read."""
    with open_regular(path, limit) as file:
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
            BundleError: a file is missing, changed, or not listed, or the format is unknown.
            TablesError: a file of tables or contexts breaks their rules.
        """
        path = find_bundle(folder)
        if (path / "codec").is_symlink():
            raise BundleError(f"{path / 'codec'} is a link, expected a folder: fetch the bundle again")
        path = path / "codec" if (path / "codec").is_dir() else path
        manifest, others = _read_codec(path)
        hashes = _hashes(manifest, others)
        _check_listed(path, {*hashes, *_described(path)}, MAX_CODEC_BYTES)
        for name, expected in hashes.items():
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
        """Read a packet of this codec and decode it into int32 symbols ``(C, h, w)``.

        Raises:
            PacketError: the packet is damaged, of another codec, or of a shape that this codec never makes.
        """
        packet = Packet.from_bytes(data)
        return self.decode(packet), packet

    def decode(self, packet: Packet) -> NDArray[np.int32]:
        """Decode a packet that has been read into int32 symbols ``(C, h, w)``; raises as ``unpack``."""
        self._check(packet)
        level = self.levels[packet.level]
        if not packet.context_coded:
            return rans.decode(packet.payload, packet.shape, level.tables)
        if level.contexts is None:
            raise PacketError(
                f"packet is context-coded, but level {packet.level} of codec {self.id_hex} has no contexts; "
                "do not trust its sender"
            )
        return rans.decode_in_context(packet.payload, packet.shape, level.contexts)

    def _check(self, packet: Packet) -> None:
        """Refuse what this codec never makes, before anything is allocated for it."""
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
                f"{MAX_SOURCE_PIXELS} pixels; do not trust its sender"
            )
        expected = self.latent_shape(packet.source_height, packet.source_width)
        if packet.shape != expected:
            raise PacketError(
                f"packet declares a latent of {packet.shape}, a {packet.source_width}x{packet.source_height} image "
                f"is coded as {expected}"
            )

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
            BundleError: it is missing, incomplete, changed, of an unknown format, or has files that it does not list.
        """
        path = find_bundle(name_or_path)
        manifest = read_json(path / "manifest.json")
        check_bundle(path / "manifest.json", manifest)
        files = manifest["files"]
        _check_listed(path, {*files, "manifest.json"})
        for name, expected in files.items():
            _check_hash(path / name, expected)
        labels = read_json(path / "labels.json")
        check_labels(path / "labels.json", labels, manifest["server"]["heads"])
        codec = Codec.open(path)
        if manifest["codec_id"] != codec.id_hex:
            raise BundleError(f"{path} belongs to codec {manifest['codec_id']}, its codec/ is {codec.id_hex}")
        return cls(path, manifest, labels, codec)

    @property
    def name(self) -> str:
        """The bundle's name."""
        return str(self.manifest["name"])

    @property
    def server(self) -> dict[str, Any]:
        """How to build blueprint, backbone and heads: names and arguments."""
        return dict(self.manifest["server"])

    @property
    def files_in_use(self) -> dict[str, str]:
        """SHA-256 of each file that results depend on: all but the card."""
        return {name: sha for name, sha in self.manifest["files"].items() if name != "card.md"}

    def weights(self, part: str) -> Path:
        """Return the safetensors file of ``blueprint``, ``backbone`` or ``heads``."""
        return self.path / "server" / f"{part}.safetensors"


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write ``manifest.json`` over the files now in a bundle folder, hashes included."""
    hashes = {name: sha256_of(folder / name) for name in sorted(files_in(folder)) if name != "manifest.json"}
    text = json.dumps({"format": BUNDLE_FORMAT, **manifest, "files": hashes}, indent=1) + "\n"
    write_file(folder / "manifest.json", text)


def copy_files(bundle: Bundle, folder: Path) -> None:
    """Copy the files that a bundle's manifest lists, and the manifest."""
    for name in ("manifest.json", *bundle.manifest["files"]):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle.path / name, folder / name)


def _is_bundle(folder: Path) -> bool:
    try:
        return read_json(folder / "manifest.json").get("format") == BUNDLE_FORMAT
    except BundleError:
        return False


BUNDLE = FolderKind(
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

    Either may end in ``@sha256:`` and 64 hex digits: then the folder has to have this :func:`digest`, and since that
    covers the hash of every file, what is opened is what was meant.

    Raises:
        BundleError: no such folder, and the text lists where it was looked for; or it has another digest.
    """
    name, pin, digest_meant = os.fspath(name_or_path).partition(PIN)
    path = _find_folder(name)
    if pin:
        _check_pin(path, digest_meant)
    return path


def digest(folder: Path) -> str:
    """Return the 64 hex digits that a bundle or codec folder is pinned by.

    Of a bundle it is SHA-256 over the canonical form of ``manifest.json``; of a codec folder, over that of
    ``{"codec.json": ..., "precisions.json": ...}``, the latter ``{}`` where there is no such file. They name the hash
    of every other file.

    Raises:
        BundleError: the folder is neither.
    """
    manifest = folder / "manifest.json"
    if manifest.exists():
        content = read_json(manifest)
        check_files(manifest, content.get("files"))
    else:
        codec, precisions = _read_codec(folder)
        content = {"codec.json": codec, "precisions.json": precisions}
    return hashlib.sha256(canonical_json(content)).hexdigest()


@lru_cache(maxsize=64)
def _geometry(*sizes: int) -> Geometry:
    """Work it out once for all frames of a camera: that takes a hundredth of a small network's time."""
    return Geometry(*sizes)


def _find_folder(name: str) -> Path:
    path = user_path(name)
    if name and _is_folder(path):
        return path.resolve()
    places = [place / "bundles" / name for place in share_folders()] if name and path.name == name else []
    for place in places:
        if _is_folder(place):
            return place
    looked = ", ".join(
        str(p) if len(name) < MAX_PATH and name.isprintable() else shown(str(p))
        for p in dict.fromkeys([path, *places])
    )
    raise BundleError(
        f"no bundle {shown(name)}: looked at {looked}; give a folder or an installed name, "
        "which `frankensplit info` lists"
    )


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 - Path's raises where the name is too long


def _check_pin(path: Path, meant: str) -> None:
    if not DIGEST.fullmatch(meant):
        raise BundleError(
            f"{shown(meant)} behind {PIN} is not a digest: expected the 64 hex digits that `frankensplit info` prints"
        )
    found = digest(path)
    if found != meant:
        raise BundleError(
            f"{path} has the digest {found}, expected {meant}: it is not the bundle that was meant; fetch it again"
        )
    if (
        path / "manifest.json"
    ).exists():  # whoever opens the codec alone does not compare it with the manifest
        files = read_json(path / "manifest.json")["files"]
        for name in {"codec.json", *_described(path / "codec")}:
            _check_hash(path / "codec" / name, files.get(f"codec/{name}"))


def _check_listed(folder: Path, listed: Collection[str], limit: int | None = None) -> None:
    sizes = files_in(folder)
    unlisted = sorted(sizes.keys() - set(listed))
    if unlisted:
        raise BundleError(
            f"{folder} has files that it does not list: {shown(unlisted)}; remove them, or fetch the bundle again"
        )
    if limit is not None and sum(sizes.values()) > limit:
        raise BundleError(f"{folder} has {sum(sizes.values())} bytes, expected at most {limit}")


def _check_hash(path: Path, expected: Any) -> None:
    if not path.exists():
        raise BundleError(f"{path} is missing: fetch or export the bundle again")
    found = sha256_of(path)
    if found != expected:
        raise BundleError(
            f"{path} has SHA-256 {found}, expected {expected}: fetch or export the bundle again"
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


def files_of_codec(path: Path) -> dict[str, str]:
    """Return the SHA-256 that each file of a codec folder is to have, by name; ``codec.json`` is not among them.

    Raises:
        BundleError: the folder has no manifest of a codec.
    """
    return _hashes(*_read_codec(path))


def _read_codec(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what ``codec.json`` and ``precisions.json`` hold, the latter by name and empty where there is none."""
    manifest = read_json(path / "codec.json", MAX_CODEC_JSON_BYTES)
    check_codec(path / "codec.json", manifest)
    file = path / "precisions.json"
    precisions = read_json(file, MAX_CODEC_JSON_BYTES) if file.exists() else {}
    check_precisions(file, precisions)
    return manifest, precisions


def _described(path: Path) -> list[str]:
    """Return the files of a codec folder that name the others."""
    return [name for name in ("codec.json", "precisions.json") if (path / name).exists()]


def _hashes(manifest: dict[str, Any], precisions: dict[str, Any]) -> dict[str, str]:
    hashes = {"encoder.onnx": manifest["encoder_sha256"]}
    for number, level in enumerate((manifest, *manifest.get("levels", []))):
        for kind in ("tables", "contexts"):
            if f"{kind}_sha256" in level:
                hashes[level_file(kind, number)] = level[f"{kind}_sha256"]
    return hashes | {f"encoder.{name}.onnx": one["sha256"] for name, one in precisions.items()}
