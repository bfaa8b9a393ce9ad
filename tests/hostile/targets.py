# SPDX-License-Identifier: Apache-2.0
"""The doors through which a stranger's bytes come in, each with what may come of them.

A target takes bytes. Its check passes whatever is refused with the documented error and whatever is accepted rightly;
anything else that comes out is a fault. The suite runs each on a few hundred inputs, the same in every run; ``fuzz.py``
runs them for minutes on new ones. Bounds are of work (symbols, pixels, bytes), never of the clock.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import shutil
import struct
import tarfile
import tempfile
import tracemalloc
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
from codec_cases import random_contexts, random_latent, random_symbols, random_tables
from hypothesis import strategies as st
from mutate import Arrays, damaged, hostile_arrays, hostile_json, hostile_npz, read_npz, write_npz
from numpy.typing import NDArray

from frankensplit.bundle import Bundle, Codec, Level, canonical_json, codec_id
from frankensplit.codec import HEADER_BYTES, Contexts, Packet, Tables, rans
from frankensplit.codec.context import CHOICE
from frankensplit.codec.context import TABLES as TABLE_NAMES
from frankensplit.data.coco import read_annotations
from frankensplit.data.shards import read_shard
from frankensplit.edge.image import ENCODINGS, decode_compressed, message_to_rgb
from frankensplit.errors import BundleError, DataError, ImageError, PacketError, TablesError
from frankensplit.geometry import Geometry

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MIB = 1 << 20
MAX_SYMBOLS = 512  # in one latent of the decoder's target: the twin takes microseconds for each
MAX_PIXELS = 1 << 26  # no picture that is larger is ever decoded


@dataclass(frozen=True)
class Target:
    """A door.

    Args:
        name: also of its folder in ``seeds/``.
        inputs: hostile bytes.
        check: tells whether the input was accepted; raises on a fault.
        memory_mib: what one input may allocate at a time.
        examples: inputs in the suite.
    """

    name: str
    inputs: st.SearchStrategy[bytes]
    check: Callable[[bytes], bool]
    memory_mib: int
    examples: int

    @property
    def seeds(self) -> list[Path]:
        """Committed inputs that once were a fault or nearly so."""
        return sorted(path for path in (HERE / "seeds" / self.name).glob("*") if path.is_file())

    def run(self, data: bytes) -> bool:
        """Check one input and what it allocates; tell whether it was accepted."""
        tracemalloc.start()
        try:
            accepted = self.check(data)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak <= self.memory_mib * MIB, f"{len(data)} bytes made {peak / MIB:.0f} MiB be allocated"
        return accepted


# ---- packets and the entropy decoder ----


@cache
def coders() -> list[ModuleType]:
    """The twin, and the C coder where it is built."""
    found = [importlib.import_module("frankensplit.codec._rans_twin")]
    try:
        return [*found, importlib.import_module("frankensplit.codec._rans")]
    except ImportError:
        return found


@contextmanager
def coded_by(coder: ModuleType) -> Iterator[None]:
    """Put a coder behind the front."""
    before, rans._coder = rans._coder, coder
    try:
        yield
    finally:
        rans._coder = before


def agreed(work: Callable[[], Any]) -> Any:
    """Do the work with each coder; give what all of them give, or raise the PacketError that all of them raise."""
    answers = []
    for coder in coders():
        with coded_by(coder):
            try:
                answers.append(("given", work()))
            except PacketError as error:
                answers.append(("refused", str(error)))
    first = answers[0]
    for other in answers[1:]:
        assert first[0] == other[0], f"the coders disagree: {first} and {other}"
        np.testing.assert_array_equal(first[1], other[1])
    if first[0] == "refused":
        raise PacketError(first[1])
    return first[1]


@cache
def small_codec() -> Codec:
    """A codec in memory with latents of 3x4x8 at most: level 0 with contexts, 1 without, 2 with extreme tables."""
    rng = np.random.default_rng(17)
    manifest = {"nominal_height": 32, "nominal_width": 64, "multiple": 32, "stride": 8, "channels": 3}
    levels = (
        Level(1.0, random_tables(rng, 3, 20), random_contexts(rng, 3, 20)),
        Level(2.0, random_tables(rng, 3, 5)),
        Level(4.0, Tables.from_counts([(-30000, np.ones(65535)), (0, [1]), (-1, [1, 65530, 1])])),
    )
    return Codec(HERE, manifest, levels)


def seal(header: bytes, payload: bytes) -> bytes:
    """Give whatever content a right length and checksum."""
    checked = header[: HEADER_BYTES - 8] + struct.pack("<I", len(payload))
    return checked + struct.pack("<I", zlib.crc32(checked + payload)) + payload


@cache
def some_coding(in_context: bool, channels: int, variant: int) -> Tables | Contexts:
    """One of a few tables or contexts, narrow and wide: to make them takes longer than to decode with them."""
    rng = np.random.default_rng([channels, variant])
    make = random_contexts if in_context else random_tables
    return make(rng, channels, (1, 3, 20, 300)[variant % 4])


def coded_at_random(draw: st.DrawFn, coding: Tables | Contexts, shape: Sequence[int]) -> bytes:
    """A good payload of this shape."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if isinstance(coding, Contexts):
        return rans.encode_in_context(random_latent(rng, *shape), coding)
    return rans.encode(random_symbols(rng, coding, *shape[1:]), coding)


@st.composite
def payloads(draw: st.DrawFn, good: bytes) -> bytes:
    """What a decoder is given: a damaged payload, words at the edges of their range, or noise in whole words."""
    word = st.one_of(st.sampled_from([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]), st.integers(0, 2**32 - 1))
    kind = draw(st.sampled_from(["damaged", "damaged", "words", "begun", "good"]))
    if kind == "damaged":
        data = draw(damaged([good]))
        return data[: len(data) // 4 * 4] if draw(st.integers(0, 3)) else data
    if kind == "words":
        return b"".join(struct.pack("<I", one) for one in draw(st.lists(word, min_size=1, max_size=40)))
    if kind == "begun":
        state = draw(st.one_of(st.just(1 << 31), st.just(2**63 - 1), st.integers(1 << 31, 2**63 - 1)))
        words = draw(st.integers(0, 40))
        return struct.pack("<Q", state) + draw(st.binary(min_size=4 * words, max_size=4 * words))
    return good


@st.composite
def packets(draw: st.DrawFn) -> bytes:
    """Packets of the small codec; most have a header so right that the decoder is reached."""
    codec = small_codec()
    height, width = draw(st.sampled_from([(32, 64), (360, 480), (1, 65535), (1080, 1920), (65535, 1024)]))
    number = draw(st.sampled_from([0, 0, 1, 2]))
    level, shape = codec.level(number), codec.latent_shape(height, width)
    coding = level.contexts if level.contexts is not None and draw(st.booleans()) else level.tables
    payload = draw(payloads(coded_at_random(draw, coding, shape)))
    packet = Packet(number, codec.id, height, width, shape, payload, isinstance(coding, Contexts))
    data = packet.to_bytes()
    kind = draw(st.sampled_from(["payload", "payload", "payload", "field", "bytes"]))
    if kind == "field":
        header = draw(damaged([data[: HEADER_BYTES - 8]], most=2)).ljust(HEADER_BYTES, b"\0")
        return seal(header, packet.payload)
    return draw(damaged([data])) if kind == "bytes" else data


def check_packet(data: bytes) -> bool:
    """Only a packet that the codec itself could have made gives symbols."""
    codec = small_codec()
    try:
        packet = Packet.from_bytes(data)
        assert packet.to_bytes() == data
        symbols = agreed(lambda: codec.unpack(data)[0])
    except PacketError:
        return False
    assert symbols.shape == codec.latent_shape(packet.source_height, packet.source_width)
    level = codec.level(packet.level)
    _check_coded_again(symbols, packet.payload, level.contexts if packet.context_coded else level.tables)
    again = codec.pack(symbols, packet.source_height, packet.source_width, packet.level)
    assert len(again) <= len(data)
    np.testing.assert_array_equal(codec.unpack(again)[0], symbols)
    return True


def _check_coded_again(symbols: NDArray[np.int32], payload: bytes, coding: Tables | Contexts | None) -> None:
    """What is accepted is the one payload of its symbols, so nothing is accepted by accident."""
    for coder in coders():
        with coded_by(coder):
            if isinstance(coding, Contexts):
                assert rans.encode_in_context(symbols, coding) == payload
            elif coding is not None:
                assert rans.encode(symbols, coding) == payload


HOSTILE_SIDES = (0, 1, -1, 2**15, 65535, 65536, 2**31, 2**33, 2**62)


@st.composite
def decodings(draw: st.DrawFn) -> bytes:
    """Tables or contexts, the shape of a latent and a payload, as an ``.npz``."""
    shape = [draw(st.integers(1, 4)), draw(st.integers(0, 6)), draw(st.integers(0, 20))]
    coding = some_coding(draw(st.booleans()), shape[0], draw(st.integers(0, 11)))
    payload = coded_at_random(draw, coding, shape)
    tables = coding.tables if isinstance(coding, Contexts) else coding
    arrays: Arrays = {name: getattr(tables, name) for name in TABLE_NAMES}
    if isinstance(coding, Contexts):
        arrays |= {name: getattr(coding, name) for name in CHOICE}
    arrays = draw(hostile_arrays(arrays, most=draw(st.sampled_from([0, 0, 0, 2]))))
    if draw(st.integers(0, 5)) == 0:
        shape[draw(st.integers(0, 2))] = draw(st.one_of(st.integers(0, 30), st.sampled_from(HOSTILE_SIDES)))
    given = np.frombuffer(draw(payloads(payload)), np.uint8)
    return write_npz(arrays | {"shape": np.array(shape, np.int64), "payload": given})


def check_decoder(data: bytes) -> bool:
    """Both coders give the same symbols or refuse in the same words, and what is accepted encodes to its payload."""
    arrays = read_npz(data)
    sides, payload = arrays.pop("shape").tolist(), arrays.pop("payload").tobytes()
    shape = (sides[0], sides[1], sides[2])
    try:
        coding = _coding(arrays)
    except TablesError:
        return False
    try:
        if isinstance(coding, Contexts):
            symbols = agreed(lambda: rans.decode_in_context(payload, shape, coding, MAX_SYMBOLS))
        else:
            symbols = agreed(lambda: rans.decode(payload, shape, coding, MAX_SYMBOLS))
    except PacketError:
        return False
    assert symbols.shape == shape and symbols.size <= MAX_SYMBOLS
    _check_coded_again(symbols, payload, coding)
    return True


def _coding(arrays: Arrays) -> Tables | Contexts:
    """Make what a codec folder would hold; the names are the files' own."""
    if not set(TABLE_NAMES) <= set(arrays) <= {*TABLE_NAMES, *CHOICE}:
        raise TablesError("other arrays")
    tables = Tables(*(arrays[name] for name in TABLE_NAMES))
    return Contexts(tables, *(arrays[name] for name in CHOICE)) if set(CHOICE) <= set(arrays) else tables


# ---- files of a bundle ----


SHIPPED = ROOT / "bundles" / "street-nano"
JSON_FILES = ("manifest.json", "labels.json", "codec/codec.json", "codec/precisions.json")
ALL_SHIPPED = tuple(ROOT / "bundles" / name for name in ("street", "street-nano"))


@cache
def shipped_tables() -> list[bytes]:
    """All tables and contexts of the shipped bundles."""
    return [file.read_bytes() for folder in ALL_SHIPPED for file in sorted((folder / "codec").glob("*.npz"))]


@st.composite
def table_files(draw: st.DrawFn) -> bytes:
    """Tables or contexts, changed."""
    return draw(hostile_npz(shipped_tables()))


def check_tables(data: bytes) -> bool:
    """A file of tables or contexts is refused, or codes what lies within it."""
    accepted = False
    with as_file(data, "tables.npz") as file:
        for load in (Tables.load, Contexts.load):
            try:
                coding = load(file)
            except TablesError:
                continue
            _check_round_trip(coding)
            accepted = True
    return accepted


@contextmanager
def as_file(data: bytes, name: str) -> Iterator[Path]:
    """Lay the bytes where a reader of files finds them."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_bytes(data)
        yield file


def _check_round_trip(coding: Tables | Contexts) -> None:
    rng = np.random.default_rng(1)
    if isinstance(coding, Contexts):
        low = int(coding.tables.offsets.max())
        symbols = np.full((coding.channels, 1, 2), np.clip(0, low, low + 1), np.int32)
        payload = rans.encode_in_context(symbols, coding)
        decoded = rans.decode_in_context(payload, (coding.channels, 1, 2), coding)
    else:
        symbols = random_symbols(rng, coding, 1, 2)
        decoded = rans.decode(rans.encode(symbols, coding), (coding.channels, 1, 2), coding)
    np.testing.assert_array_equal(decoded, symbols)


@cache
def bundle_copy() -> tuple[tempfile.TemporaryDirectory[str], Path]:
    """A copy of a shipped bundle whose files an input replaces, one at a time."""
    folder = tempfile.TemporaryDirectory(prefix="hostile-bundle-")
    return folder, Path(shutil.copytree(SHIPPED, Path(folder.name) / "bundle"))


@st.composite
def bundle_files(draw: st.DrawFn) -> bytes:
    """A JSON file of a bundle behind a line with its name."""
    name = draw(st.sampled_from(JSON_FILES))
    seeds = [(folder / name).read_bytes() for folder in ALL_SHIPPED]
    content = draw(st.one_of(hostile_json(seeds), hostile_json(seeds), damaged(seeds)))
    return name.encode() + b"\n" + content


def check_bundle(data: bytes) -> bool:
    """A bundle with right hashes and one hostile file of JSON opens, or is refused by name."""
    name, _, content = data.partition(b"\n")
    _, folder = bundle_copy()
    assert name.decode() in JSON_FILES
    try:
        (folder / name.decode()).write_bytes(content)
        if name != b"manifest.json":
            _stamp(folder, name.decode(), content)
        _open(folder)
    except (BundleError, TablesError):
        return False
    finally:
        for one in {"manifest.json", name.decode()}:
            shutil.copyfile(SHIPPED / one, folder / one)
    return True


def _stamp(folder: Path, name: str, content: bytes) -> None:
    """Let the manifest say what an attacker's would: the right hash and the right codec id."""
    file = folder / "manifest.json"
    manifest = json.loads(file.read_bytes())
    manifest["files"][name] = hashlib.sha256(content).hexdigest()
    if name == "codec/codec.json":
        with suppress(ValueError, RecursionError):
            manifest["codec_id"] = codec_id(json.loads(content)).hex()
    file.write_text(json.dumps(manifest), encoding="utf-8")


def _open(folder: Path) -> None:
    """Do what each command and node does with a bundle before it builds its networks."""
    opened = Bundle.open(folder)
    codec = opened.codec
    assert isinstance(opened.name, str)
    backbone, blueprint = opened.server["backbone"], opened.server["blueprint"]
    assert isinstance(backbone["model"], str) and isinstance(backbone["arguments"], dict)
    assert isinstance(blueprint["family"], str) and isinstance(blueprint["arguments"], dict)
    for head in opened.server["heads"]:
        assert all(isinstance(one, str) for one in opened.labels[head]["classes"])
    assert 1 <= codec.largest[0] * codec.largest[1] <= MAX_PIXELS
    assert codec.latent_shape(480, 640)[0] == codec.tables.channels
    canonical_json(codec.manifest)


# ---- images ----


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """The fields of a ``sensor_msgs/Image`` as JSON, ``data`` in hexadecimal."""
    encoding = draw(
        st.one_of(st.sampled_from(sorted(ENCODINGS)), st.sampled_from(["", "32FC1", "rgb8\0", "é" * 999]))
    )
    layout = ENCODINGS.get(encoding, ENCODINGS["rgb8"])
    height, width = draw(st.integers(0, 12)), draw(st.integers(0, 12))
    step = width * layout.itemsize * layout.channels + draw(st.sampled_from([0, 0, 0, 1, 5]))
    fields = {"height": height, "width": width, "step": step}
    content = draw(st.binary(min_size=height * step, max_size=height * step))
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        field = draw(st.sampled_from(sorted(fields)))
        fields[field] = draw(st.one_of(st.integers(0, 40), st.sampled_from([65535, 65536, 2**31, 2**32 - 1])))
    if draw(st.integers(0, 5)) == 0:
        content = content[: draw(st.integers(0, len(content)))] + draw(st.binary(max_size=9))
    rest = {"encoding": encoding, "is_bigendian": draw(st.booleans()), "data": content.hex()}
    return json.dumps(fields | rest).encode()


def check_image(data: bytes) -> bool:
    """A raw image is refused, or gives RGB of its size that can be prepared for a network."""
    fields = json.loads(data)
    message = SimpleNamespace(**{**fields, "data": bytes.fromhex(fields["data"])})
    try:
        rgb = message_to_rgb(message)
    except ImageError:
        return False
    assert rgb.shape == (message.height, message.width, 3) and rgb.dtype == np.uint8
    assert rgb.size <= 3 * len(message.data)
    if message.encoding in ("rgb8", "bgr8"):
        rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
        pixels = rows[:, : 3 * message.width].reshape(rgb.shape)
        np.testing.assert_array_equal(rgb, pixels if message.encoding == "rgb8" else pixels[..., ::-1])
    _check_prepared(rgb)
    return True


def _check_prepared(rgb: NDArray[np.uint8]) -> None:
    geometry = Geometry(*rgb.shape[:2], 32, 64)
    assert geometry.prepare(rgb).shape == (geometry.padded_height, geometry.padded_width, 3)


@cache
def pictures() -> dict[str, bytes]:
    """A small file of each kind that cameras send."""
    rows, columns = np.mgrid[0:12, 0:16]
    bgr = np.dstack([rows * 20, columns * 15, (rows + columns) % 2 * 255]).astype(np.uint8)
    kinds: dict[str, tuple[str, NDArray[Any], Sequence[int]]] = {
        "jpeg": (".jpg", bgr, (cv2.IMWRITE_JPEG_QUALITY, 80)),
        "progressive": (".jpg", bgr, (cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 2)),
        "grey": (".jpg", bgr[..., 0], ()),
        "png": (".png", bgr, ()),
        "deep": (".png", bgr.astype(np.uint16) * 257, ()),
        "mosaic": (".png", bgr[..., 1], ()),
        "webp": (".webp", bgr, (cv2.IMWRITE_WEBP_QUALITY, 80)),
        "lossless": (".webp", bgr, (cv2.IMWRITE_WEBP_QUALITY, 101)),
    }
    return {
        name: cv2.imencode(suffix, pixels, how)[1].tobytes() for name, (suffix, pixels, how) in kinds.items()
    }


@st.composite
def picture_files(draw: st.DrawFn) -> bytes:
    """Damaged JPEG, PNG and WebP files; of some PNGs the fields are changed and the checksums made right."""
    seeds = list(pictures().values())
    kind = draw(st.sampled_from(["bytes", "bytes", "png", "size", "padded"]))
    if kind == "png":
        return draw(_hostile_png(pictures()[draw(st.sampled_from(["png", "deep", "mosaic"]))]))
    if kind == "size":
        jpeg = bytearray(pictures()[draw(st.sampled_from(["jpeg", "progressive", "grey"]))])
        at = next(
            jpeg.find(b"\xff" + bytes([marker]))
            for marker in (0xC0, 0xC2)
            if b"\xff" + bytes([marker]) in jpeg
        )
        for place in (at + 5, at + 7):
            side = draw(st.one_of(st.integers(0, 40), st.sampled_from([2048, 65500, 65535])))
            jpeg[place : place + 2] = side.to_bytes(2, "big")
        return bytes(jpeg)
    if kind == "padded":
        jpeg = bytearray(pictures()["jpeg"])
        filler = draw(
            st.sampled_from(
                [b"\xff" * 5000, b"\xff\xd0" * 2000, b"\xff\xe0\x00\x02" * 1000, b"\xff\xfe\xff\xff"]
            )
        )
        return bytes(jpeg[:2] + filler + jpeg[2:])
    return draw(damaged(seeds))


@st.composite
def _hostile_png(draw: st.DrawFn, png: bytes) -> bytes:
    chunks, at = [], 8
    while at < len(png):
        length = int.from_bytes(png[at : at + 4], "big")
        chunks.append((png[at + 4 : at + 8], png[at + 8 : at + 8 + length]))
        at += 12 + length
    for _ in range(draw(st.integers(1, 3))):
        which = draw(st.integers(0, len(chunks) - 1))
        change = draw(st.sampled_from(["damage", "size", "repeat", "remove", "swap", "add"]))
        if change == "damage":
            chunks[which] = (chunks[which][0], draw(damaged([chunks[which][1]], most=2)))
        elif change == "size" and chunks[0][0] == b"IHDR":
            side = st.one_of(
                st.integers(0, 64), st.sampled_from([4096, 8192, 65535, 65536, 2**31 - 1, 2**32 - 1])
            )
            sides = struct.pack(">II", draw(side), draw(side))
            chunks[0] = (b"IHDR", sides + chunks[0][1][8:])
        elif change == "repeat":
            chunks[which:which] = [chunks[which]] * draw(st.sampled_from([1, 20]))
        elif change == "remove" and len(chunks) > 1:
            del chunks[which]
        elif change == "swap":
            chunks[0], chunks[which] = chunks[which], chunks[0]
        elif change == "add":
            name = draw(
                st.sampled_from(
                    [b"tRNS", b"PLTE", b"eXIf", b"iCCP", b"acTL", b"fcTL", b"fdAT", b"gAMA", b"abcd"]
                )
            )
            chunks.insert(which, (name, draw(st.binary(max_size=40))))
    body = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
    return png[:8] + b"".join(body)


def check_picture(data: bytes) -> bool:
    """A compressed image is refused, or gives RGB of a bounded size."""
    accepted = False
    for file_format in ("", "bayer_rggb8; jpeg compressed bgr8"):
        try:
            rgb = decode_compressed(data, file_format)
        except ImageError:
            continue
        assert rgb.ndim == 3 and rgb.shape[2] == 3 and rgb.dtype == np.uint8
        assert rgb.shape[0] * rgb.shape[1] <= MAX_PIXELS
        _check_prepared(rgb)
        accepted = True
    return accepted


# ---- data sets ----


@cache
def coco() -> bytes:
    """A small list of pictures with boxes."""
    boxes = [
        {"id": 5, "image_id": 7, "category_id": 3, "bbox": [1, 2, 10.5, 4], "area": 42, "iscrowd": 0},
        {"id": 6, "image_id": 7, "category_id": 9, "bbox": [0, 0, 16, 12], "area": 192, "iscrowd": 1},
    ]
    pictures = [{"id": number, "file_name": f"{number}.png", "height": 12, "width": 16} for number in (7, 8)]
    classes = [{"id": 3, "name": "car"}, {"id": 9, "name": "person"}]
    return json.dumps({"categories": classes, "images": pictures, "annotations": boxes}).encode()


@st.composite
def coco_files(draw: st.DrawFn) -> bytes:
    """Lists of pictures, changed."""
    return draw(st.one_of(hostile_json([coco()]), damaged([coco()])))


def check_coco(data: bytes) -> bool:
    """A list of pictures is refused, or gives boxes of classes that it names."""
    with as_file(data, "annotations.json") as file:
        try:
            read = read_annotations(file)
        except DataError:
            return False
    for picture in read.pictures:
        assert len(picture.boxes.corners) == len(picture.boxes.class_ids)
        assert all(0 <= one < len(read.classes) for one in picture.boxes.class_ids)
    return True


@cache
def shards() -> list[bytes]:
    """A tar of two samples in each of the formats that there are."""
    found = []
    for kind in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", format=kind) as tar:
            for name, content in (
                ("a/one.png", pictures()["png"]),
                ("a/one.mask.png", pictures()["mosaic"]),
                ("two.jpg", pictures()["jpeg"]),
                ("two.cls", b"7"),
                ("é" * 40 + ".cls", b"1"),
            ):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        found.append(file.getvalue()[: 512 * 22])
    return found


@st.composite
def shard_files(draw: st.DrawFn) -> bytes:
    """Shards, damaged."""
    return draw(damaged(shards()))


def check_shard(data: bytes) -> bool:
    """A shard is refused, or gives samples each of whose parts is refused or of a bounded size."""
    accepted = False
    with as_file(data, "val-0.tar") as file:
        try:
            samples = list(read_shard(file))
        except DataError:
            return False
        for sample in samples:
            assert sum(map(len, sample.members.values())) <= len(data)
            for part in (sample.image, sample.mask, sample.label):
                try:
                    part()
                except DataError:
                    continue
                accepted = True
    return accepted


TARGETS = {
    target.name: target
    for target in (
        Target("packet", packets(), check_packet, 16, 200),
        Target("decoder", decodings(), check_decoder, 16, 300),
        Target("tables", table_files(), check_tables, 16, 120),
        Target("bundle", bundle_files(), check_bundle, 64, 80),
        Target("image", messages(), check_image, 16, 200),
        Target("picture", picture_files(), check_picture, 7 * MAX_PIXELS // MIB, 120),
        Target("coco", coco_files(), check_coco, 16, 120),
        Target("shard", shard_files(), check_shard, 7 * MAX_PIXELS // MIB, 120),
    )
}
