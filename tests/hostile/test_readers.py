# SPDX-License-Identifier: Apache-2.0
"""Data sets of strangers: nothing small becomes large, nothing leads out of its folder, nothing hangs."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import struct
import subprocess
import sys
import tarfile
import zlib
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from frankensplit.bundle import MAX_SOURCE_PIXELS
from frankensplit.data.labels import read_labels
from frankensplit.data.limits import read_file, read_yaml
from frankensplit.data.pictures import decode_mask, decode_picture
from frankensplit.data.sources import open_source
from frankensplit.errors import DataError, RecipeError

MIB = 1 << 20
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join([f'*{before}'] * 10)}]}}\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int = 8, kind: int = 2, extra: bytes = b"") -> bytes:
    """A legal PNG of zeros, as small as its kind allows."""
    row = 1 + width * depth * {0: 1, 2: 3, 3: 1, 6: 4}[kind] // 8
    packer, packed = zlib.compressobj(9), b""
    for _ in range(height):
        packed += packer.compress(bytes(row))
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    palette = chunk(b"PLTE", bytes(3)) if kind == 3 else b""
    body = chunk(b"IHDR", header) + palette + extra + chunk(b"IDAT", packed + packer.flush())
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def patched(suffix: str, at: int, form: str, *sizes: int) -> bytes:
    """A small picture whose header declares another size."""
    data = bytearray(cv2.imencode(suffix, np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    struct.pack_into(form, data, at, *sizes)
    return bytes(data)


def tiff(width: int, height: int, order: str = "<") -> bytes:
    mark = b"II*\0" if order == "<" else b"MM\0*"
    tags = [struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in ((256, width), (257, height))]
    return mark + struct.pack(f"{order}IH", 8, 2) + b"".join(tags) + bytes(4)


BOMBS = {
    "png": lambda: png(16384, 8192, 1, 0),
    "bmp": lambda: patched(".bmp", 18, "<ii", 60000, -60000),
    "tif": lambda: tiff(60000, 60000),
    "tif, big-endian": lambda: tiff(60000, 60000, ">"),
    "ppm": lambda: b"P6\n# a note\n60000 60000\n255\n" + bytes(64),
    "webp": lambda: (
        b"RIFF" + struct.pack("<I", 92) + b"WEBPVP8L" + struct.pack("<IBI", 80, 0x2F, 0x0FFFFFFF) + bytes(80)
    ),
}


@pytest.mark.parametrize("kind", BOMBS)
@pytest.mark.parametrize("decode", [decode_picture, decode_mask])
def test_pixels_are_counted_before_they_are_decoded(kind: str, decode, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(DataError, match=rf"the_file.*at most {MAX_SOURCE_PIXELS} are decoded"):
        decode(BOMBS[kind](), "the_file")


def test_a_palette_mask_is_counted_too():
    with pytest.raises(DataError, match="16384x8192"):
        decode_mask(png(16384, 8192, 1, 3), "the_file")


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".ppm", ".jpg", ".webp", ".pgm"])
def test_sizes_are_read_from_every_kind_of_picture(suffix: str):
    pixels = np.full((5, 7, 3), 99, np.uint8)
    data = cv2.imencode(suffix, pixels[..., 0] if suffix == ".pgm" else pixels)[1].tobytes()
    assert decode_picture(data, "x").shape == (5, 7, 3)


def test_a_bad_picture_of_a_set_is_named_and_the_others_are_read(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(png(8, 8))
    (tmp_path / "b.png").write_bytes(png(16384, 8192, 1, 0))
    source = open_source(str(tmp_path))
    assert [frame.name for frame in source] == ["a"]
    assert [one.name for one in source.skipped] == ["b.png"] and "16384x8192" in source.skipped[0].cause


def test_only_regular_files_are_sources(tmp_path: Path):
    for name in ("film.mp4", "x.tar", "x.db3", "x.mcap", "x.json"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(DataError, match="regular file"):
            open_source(str(tmp_path / name))
    with pytest.raises(DataError, match="regular file"):
        open_source("/dev/zero")
    for path in (tmp_path / "film.mp4", Path("/dev/zero")):
        with pytest.raises(DataError, match="regular file"):
            read_file(path, MIB)
        with pytest.raises(DataError, match="regular file"):
            read_labels(path)
    with pytest.raises(DataError, match="cannot read"):
        read_file(tmp_path / "a\0b", MIB)
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", 1 << 40)
    with pytest.raises(DataError, match="1099511627776 bytes, expected at most 1048576"):
        read_file(tmp_path / "large", MIB)


def test_labels_are_bounded(tmp_path: Path):
    path = tmp_path / "labels.json"
    path.write_text('{"class_names": ["' + "x" * 5 * MIB + '"]}')
    with pytest.raises(DataError, match="at most 4194304"):
        read_labels(path)
    path.write_text("[" * 200_000)
    with pytest.raises(DataError, match="nested too deep"):
        read_labels(path)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (LAUGHS, "more than 200000 values"),
        (MERGES, "more than 200000 values"),
        ("a: &a [*a]", "inside itself"),
        ("[" * 5000, "nested deeper"),
        ("[" * 100 + "]" * 100, "nested deeper"),
        ("a: " + "x" * 5 * MIB, "at most 4194304"),
        ("a: [", "cannot read"),
    ],
)
def test_yaml_is_bounded_as_its_aliases_are_written_out(tmp_path: Path, text: str, cause: str):
    from frankensplit.training.recipe import load_recipe

    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(DataError, match=cause):
        read_yaml(path)
    with pytest.raises(RecipeError, match=cause):
        load_recipe(path)


def test_plain_aliases_are_read(tmp_path: Path):
    path = tmp_path / "x.yaml"
    path.write_text("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: [*a, *a]\n")
    assert read_yaml(path) == {"a": {"x": 1}, "b": {"x": 1, "y": 2}, "c": [{"x": 1}, {"x": 1}]}


def write_tar(path: Path, *members: tarfile.TarInfo, **options) -> None:
    with tarfile.open(path, "w", **options) as tar:
        for info in members:
            tar.addfile(info, io.BytesIO(png(8, 8)) if info.isreg() else None)


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.size = len(png(8, 8)) if kind == tarfile.REGTYPE else 0
    return info


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("/etc/a.png", "is absolute"),
        ("../a.png", "leaves its folder"),
        ("x/../../a.png", "leaves its folder"),
        ("a\nb.png", "control character"),
        ("x" * 2000 + ".png", "longer than 1024"),
    ],
)
def test_names_that_lead_out_of_a_shard_are_refused(tmp_path: Path, name: str, cause: str):
    write_tar(tmp_path / "s.tar", member("good.png"), member(name))
    with pytest.raises(DataError, match=cause) as caught:
        open_source(str(tmp_path / "s.tar"))
    assert len(str(caught.value)) < 600 and "\n" not in str(caught.value)


def test_a_nul_in_a_name_is_refused(tmp_path: Path):
    info = member("a.png")
    info.pax_headers = {"path": "a\0b.png"}
    write_tar(tmp_path / "s.tar", info, format=tarfile.PAX_FORMAT)
    with pytest.raises(DataError, match="control character"):
        open_source(str(tmp_path / "s.tar"))


def test_links_and_devices_of_a_shard_are_not_followed(tmp_path: Path):
    (tmp_path / "secret.png").write_bytes(png(8, 8))
    strange = [
        member("a.png", tarfile.SYMTYPE, str(tmp_path / "secret.png")),
        member("b.png", tarfile.LNKTYPE, str(tmp_path / "secret.png")),
        member("c.png", tarfile.CHRTYPE),
        member("d.png", tarfile.FIFOTYPE),
        member("good.png"),
    ]
    write_tar(tmp_path / "s.tar", *strange)
    assert [frame.name for frame in open_source(str(tmp_path / "s.tar"))] == ["good"]


def test_a_member_that_declares_much_is_refused_by_name(tmp_path: Path):
    info = member("huge.png")
    info.size = 1 << 34
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        tar.addfile(member("good.png"), io.BytesIO(png(8, 8)))
        tar.fileobj.write(info.tobuf())
        end = tar.fileobj.tell() + info.size
    os.truncate(tmp_path / "s.tar", end + 1024)
    source = open_source(str(tmp_path / "s.tar"))
    assert [frame.name for frame in source] == ["good"]
    assert "17179869184 bytes" in source.skipped[0].cause


def test_a_sparse_member_is_refused(tmp_path: Path):
    (tmp_path / "hole.png").touch()
    os.truncate(tmp_path / "hole.png", 1 << 30)
    command = ["tar", "--sparse", "-cf", str(tmp_path / "s.tar"), "-C", str(tmp_path), "hole.png"]
    subprocess.run(command, check=True)
    assert (tmp_path / "s.tar").stat().st_size < MIB
    with pytest.raises(DataError, match=r"hole\.png' is sparse"):
        open_source(str(tmp_path / "s.tar"))


def test_members_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("frankensplit.data.shards.MAX_MEMBERS", 3)
    write_tar(tmp_path / "s.tar", *(member(f"{number}.png") for number in range(3)))
    assert open_source(str(tmp_path / "s.tar")).count() == 3
    write_tar(tmp_path / "s.tar", *(member(f"{number}.png") for number in range(4)))
    with pytest.raises(DataError, match="more than 3 members"):
        open_source(str(tmp_path / "s.tar"))


def write_coco(folder: Path, *names: str, **more: object) -> None:
    images = [{"id": at, "file_name": name, "height": 8, "width": 8} for at, name in enumerate(names)]
    content = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "car"}], **more}
    folder.mkdir(exist_ok=True)
    (folder / "annotations.json").write_text(json.dumps(content))


def test_coco_pictures_stay_in_their_folder(tmp_path: Path):
    inside = tmp_path / "set"
    (tmp_path / "out.png").write_bytes(png(8, 8))
    write_coco(inside, "a.png", "../out.png", str(tmp_path / "out.png"), "link.png", "a\0.png")
    (inside / "a.png").write_bytes(png(8, 8))
    (inside / "link.png").symlink_to(tmp_path / "out.png")
    source = open_source(str(inside))
    assert [frame.name for frame in source] == ["a"]
    causes = [one.cause for one in source.skipped]
    assert len(causes) == 4
    for cause, word in zip(causes, ("leaves", "absolute", "link", "control"), strict=True):
        assert word in cause
    assert [path.name for path in source.files()] == ["annotations.json", "a.png"]


def test_a_folder_of_coco_pictures_may_be_a_link(tmp_path: Path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a.png").write_bytes(png(8, 8))
    write_coco(tmp_path / "set", "a.png")
    (tmp_path / "set" / "images").symlink_to(tmp_path / "disk")
    assert [frame.name for frame in open_source(str(tmp_path / "set"))] == ["a"]


@pytest.mark.parametrize(
    "bad", ["[" * 100_000, '{"images": [{"id": 1e999}], "annotations": [], "categories": []}']
)
def test_annotations_that_are_no_json_of_coco(tmp_path: Path, bad: str):
    (tmp_path / "annotations.json").write_text(bad)
    with pytest.raises(DataError, match=r"annotations\.json"):
        open_source(str(tmp_path))


def bag(folder: Path, storage: str, data: bytes = b"", compression: str = "NONE") -> Path:
    """Write a bag of one compressed image; return its storage file."""
    from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_HUMBLE)
    types = store.types
    writer = Writer(folder, version=9, storage_plugin=StoragePlugin[storage])
    writer.set_compression(CompressionMode[compression], CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection("/cam", "sensor_msgs/msg/CompressedImage", typestore=store)
        header = types["std_msgs/msg/Header"](types["builtin_interfaces/msg/Time"](1, 0), "camera")
        picture = np.frombuffer(data or png(8, 8), np.uint8)
        message = types["sensor_msgs/msg/CompressedImage"](header, "png", picture)
        writer.write(connection, 10**9, store.serialize_cdr(message, "sensor_msgs/msg/CompressedImage"))
    return next(path for path in folder.iterdir() if path.suffix != ".yaml")


@pytest.fixture
def small_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bound records to 1 MiB, so that a test does not need to write 256."""
    monkeypatch.setattr("frankensplit.data.bags.MAX_RECORD_BYTES", MIB)


@pytest.mark.parametrize(("storage", "compression"), [("MCAP", "STORAGE"), ("SQLITE3", "MESSAGE")])
def test_what_a_bag_decompresses_to_is_bounded(
    tmp_path: Path, small_records: None, storage: str, compression: str
):
    bag(tmp_path / "good", storage, compression=compression)
    assert len(list(open_source(str(tmp_path / "good")))) == 1
    file = bag(tmp_path / "bad", storage, bytes(2 * MIB), compression)
    assert file.stat().st_size < 100_000
    with pytest.raises(DataError, match="at most 1048576"):
        list(open_source(str(tmp_path / "bad")))


def test_a_bag_without_its_index_is_bounded_too(tmp_path: Path, small_records: None):
    file = bag(tmp_path / "bag", "MCAP", bytes(2 * MIB), "STORAGE")
    data = bytearray(file.read_bytes())
    data[-28:-12] = bytes(16)  # where the summary begins
    file.write_bytes(data)
    with pytest.raises(DataError, match="at most 1048576"):
        list(open_source(str(file)))


def test_a_chunk_that_declares_less_than_it_holds(small_records: None):
    from backports import zstd
    from rosbags.rosbag2 import storage_mcap

    from frankensplit.data import bags

    bags._bound_rosbags()
    assert storage_mcap.decompress(zstd.compress(b"abc") + zstd.compress(b"d"), "zstd", 4, 0) == b"abcd"
    for data in (zstd.compress(bytes(3 << 30 >> 8)), zstd.compress(bytes(MIB)) * 3):
        with pytest.raises(DataError, match="at most 1048576"):
            storage_mcap.decompress(data, "zstd", 100, 0)
    with pytest.raises(EOFError):
        storage_mcap.decompress(zstd.compress(b"abc")[:-2], "zstd", 3, 0)


def test_lz4_and_records_of_a_bag_are_bounded(small_records: None):
    import lz4.frame

    from frankensplit.data import bags

    assert bags._lz4(lz4.frame.compress(bytes(1000))) == bytes(1000)
    with pytest.raises(DataError, match="at most 1048576"):
        bags._lz4(lz4.frame.compress(bytes(2 * MIB)))
    with pytest.raises(DataError, match="record declares 1099511627776"):
        bags._read_exact(io.BytesIO(b"x"), 1 << 40)


def test_a_compressed_file_of_a_bag_leaves_half_of_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    bag(tmp_path / "bag", "MCAP", compression="FILE")
    assert len(list(open_source(str(tmp_path / "bag")))) == 1
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=100))
    with pytest.raises(DataError, match="more than half of what is free"):
        open_source(str(tmp_path / "bag"))


def test_a_chunk_that_declares_much_is_refused_at_opening(tmp_path: Path, small_records: None):
    with pytest.raises(DataError, match=r"chunk declares 2\d{6} bytes or more, at most 1048576"):
        open_source(str(bag(tmp_path / "bag", "MCAP", bytes(2 * MIB), "STORAGE")))


def test_chunks_of_one_time_are_not_all_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = bag(tmp_path / "bag", "MCAP")
    assert len(list(open_source(str(file)))) == 1
    monkeypatch.setattr("frankensplit.data.bags.MAX_OPEN_BYTES", 100)
    with pytest.raises(DataError, match="mcap sort"):
        open_source(str(file))


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE messages RENAME TO m; CREATE VIEW messages AS SELECT * FROM m",
        "ALTER TABLE schema RENAME TO s; CREATE VIEW schema AS WITH RECURSIVE c(schema_version, x) AS "
        "(SELECT 4, 1 UNION ALL SELECT 4, x + 1 FROM c) SELECT * FROM c",
        "ALTER TABLE messages ADD COLUMN more BLOB GENERATED ALWAYS AS (zeroblob(1000000000)) VIRTUAL",
    ],
)
def test_a_bag_that_is_a_program_is_refused(tmp_path: Path, change: str):
    file = bag(tmp_path / "bag", "SQLITE3")
    database = sqlite3.connect(file)
    database.executescript(change)
    database.close()
    for path in (file, file.parent):
        with pytest.raises(DataError, match="computes"):
            open_source(str(path))


def test_the_index_of_a_bag_is_bounded(tmp_path: Path):
    bag(tmp_path / "bag", "MCAP")
    index = tmp_path / "bag" / "metadata.yaml"
    index.write_text(f"{LAUGHS}rosbag2_bagfile_information: *i\n")
    with pytest.raises(DataError, match="more than 200000 values"):
        open_source(str(tmp_path / "bag"))


def test_a_pipe_in_a_bag_is_refused(tmp_path: Path):
    file = bag(tmp_path / "bag", "SQLITE3")
    index = file.parent / "metadata.yaml"
    os.mkfifo(file.parent / "x.bin")
    index.write_text(index.read_text().replace(file.name, "x.bin"))
    with pytest.raises(DataError, match="regular file"):
        open_source(str(file.parent))


def test_definitions_in_a_bag_are_not_used(tmp_path: Path):
    """A billion empty structures take no byte of a message, and all memory once they are made."""
    file = bag(tmp_path / "bag", "SQLITE3")
    database = sqlite3.connect(file)
    database.execute(
        "UPDATE message_definitions SET encoded_message_definition = "
        "'std_msgs/Empty[1000000000] bomb\n' || encoded_message_definition"
    )
    database.commit()
    database.close()
    assert len(list(open_source(str(file)))) == 1


def write_video(path: Path, *files: bytes) -> str:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=5)
        stream.width, stream.height, stream.pix_fmt = 8, 8, "rgb24"
        for number, data in enumerate(files):
            packet = av.Packet(data)
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, number, number, Fraction(1, 5)
            container.mux(packet)
    return str(path)


def test_frames_of_a_video_are_counted_before_they_are_decoded(tmp_path: Path):
    huge = png(16384, 8192, 1, 0)
    source = open_source(write_video(tmp_path / "v.avi", png(8, 8), huge, png(8, 8)))
    assert [frame.rgb.shape for frame in source] == [(8, 8, 3)] * 2
    assert len(source.skipped) == 1 and f"at most {MAX_SOURCE_PIXELS} pixels" in source.skipped[0].cause
    with pytest.raises(DataError, match=f"at most {MAX_SOURCE_PIXELS} pixels"):
        list(open_source(write_video(tmp_path / "w.avi", huge, huge)))


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile 'good.avi'\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n",
    ],
)
def test_a_playlist_opens_no_address(tmp_path: Path, text: str):
    (tmp_path / "v.avi").write_text(text)
    with pytest.raises(DataError, match=r"cannot open|no picture stream"):
        list(open_source(str(tmp_path / "v.avi")))


def test_the_command_prints_one_line(tmp_path: Path):
    (tmp_path / "x.tar").write_bytes(b"no tar" * 300)
    command = [
        sys.executable,
        "-m",
        "frankensplit",
        "evaluate",
        "--bundle",
        "street",
        "--data",
        str(tmp_path / "x.tar"),
    ]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert finished.returncode in (1, 2) and "Traceback" not in finished.stderr
