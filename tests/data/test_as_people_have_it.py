# SPDX-License-Identifier: Apache-2.0
"""Data as people have it: each gives what its owner sees in it, or says what it is and what to do."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import sqlite3
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from data_files import mask, picture, png, write_bag, write_shard
from numpy.typing import NDArray
from PIL import Image

from frankensplit.data.frames import LabelledFrame, open_frames
from frankensplit.data.names import natural
from frankensplit.data.sources import is_camera, open_source
from frankensplit.data.sources.camera import CameraSource
from frankensplit.data.turn import by_display_matrix
from frankensplit.errors import DataError, ImageError

RED, BLUE = (250, 10, 10), (10, 10, 250)


def marked(height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """Return a grey picture with a red upper left and a blue upper right corner."""
    rgb = np.full((height, width, 3), 120, np.uint8)
    rgb[: height // 2, : width // 2], rgb[: height // 2, width // 2 :] = RED, BLUE
    return rgb


def corners(rgb: NDArray[np.uint8]) -> str:
    """Return the colours of the corners, by row: r, b, or - for grey."""
    points = [rgb[y, x].astype(int) for y in (8, -8) for x in (8, -8)]
    return "".join("r" if p[0] - p[2] > 90 else "b" if p[2] - p[0] > 90 else "-" for p in points)


def picture_file(rgb: NDArray[np.uint8], kind: str, orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[274] = orientation
    file = io.BytesIO()
    options: dict[str, Any] = {"exif": exif} if kind == "TIFF" else {"exif": exif.tobytes()}
    Image.fromarray(rgb).save(file, kind, **options)
    return file.getvalue()


def jpeg(rgb: NDArray[np.uint8] | None = None) -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    return cv2.imencode(".jpg", noise if rgb is None else rgb)[1].tobytes()


# -- bags


def bag_file(folder: Path, storage: str = "MCAP", **options: Any) -> Path:
    write_bag(folder, storage, **options)
    return next(path for path in folder.iterdir() if path.suffix != ".yaml")


def cut_mcap(folder: Path) -> Path:
    file = bag_file(folder)
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * 0.6)])
    (folder / "metadata.yaml").unlink()
    return file


def zero_ended_mcap(folder: Path) -> Path:
    file = cut_mcap(folder)
    file.write_bytes(file.read_bytes() + bytes(5000))
    return file


def killed(folder: Path, moved: int) -> Path:
    """Return a database whose messages after the first ``moved`` are just in the ``-wal`` of a killed recorder."""
    file = bag_file(folder, "SQLITE3")
    live = folder / "live.db3"
    source, target = sqlite3.connect(file), sqlite3.connect(live, isolation_level=None)
    target.execute("PRAGMA journal_mode=WAL")
    target.execute("PRAGMA wal_autocheckpoint=0")
    at, tables = 0, []
    for line in source.iterdump():
        if line.startswith('INSERT INTO "messages"'):
            at += 1
            if at == moved + 1:
                target.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if line not in ("BEGIN TRANSACTION;", "COMMIT;"):
            target.execute(line)
            tables.append(line)
    (folder / "killed").mkdir()
    for path in folder.glob("live.db3*"):
        shutil.copy(path, folder / "killed")
    target.close()
    return folder / "killed" / "live.db3"


def one_of_two(folder: Path) -> Path:
    """Return the second file of a bag in two, whose index lists both."""
    first, second = bag_file(folder), bag_file(folder.with_name("second"), damaged=0)
    second.rename(folder / "bag_1.mcap")
    index = folder / "metadata.yaml"
    index.write_text(index.read_text().replace(f"- {first.name}", f"- {first.name}\n  - bag_1.mcap"))
    return folder / "bag_1.mcap"


def stranger(folder: Path) -> Path:
    """Return a file beside the index of another bag."""
    bag_file(folder)
    file = bag_file(folder.with_name("other"), damaged=0)
    return file.rename(folder / "stranger.mcap")


def capitals(folder: Path, name: str = "A#B?C%20.MCAP") -> Path:
    file = bag_file(folder, "SQLITE3" if name.endswith("DB3") else "MCAP")
    (folder / "metadata.yaml").unlink()
    return file.rename(folder / name)


READ = [
    # what, how it is made, numbers of the frames that are read, what is said
    ("a file of a bag in two", one_of_two, "123", ""),
    ("a bag in two", lambda f: one_of_two(f).parent, "0123567", ""),
    ("a file beside another bag's index", stranger, "123", ""),
    (
        "messages that are compressed, without the index",
        lambda f: bag_file(f, compression="MESSAGE"),
        "0123",
        "",
    ),
    ("an mcap that was cut off", cut_mcap, "01", "was cut off.*mcap recover"),
    ("an mcap that ends with zeros", zero_ended_mcap, "012", "was cut off.*mcap recover"),
    ("a cut mcap, compressed", lambda f: compressed_and_cut(f), "", "was cut off"),
    ("a killed recorder, half in -wal", lambda f: killed(f, 2), "0123", ""),
    ("a killed recorder, all in -wal", lambda f: killed(f, 0), "0123", ""),
    ("an ending in capitals, and odd letters", capitals, "0123", ""),
    ("a database of such a name", lambda f: capitals(f, "A#B?C%20.DB3"), "0123", ""),
]


def compressed_and_cut(folder: Path) -> Path:
    """Return an mcap with a chunk of its own for each message, the last of which is cut."""
    file = bag_file(folder, compression="STORAGE")
    file.write_bytes(file.read_bytes()[:-1000])
    return file


@pytest.mark.parametrize(("make", "numbers", "said"), [row[1:] for row in READ], ids=[row[0] for row in READ])
def test_bags_that_are_read(tmp_path: Path, make: Callable[[Path], Path], numbers: str, said: str):
    source = open_source(str(make(tmp_path / "bag")))
    found = "".join(frame.name[-1] for frame in source)
    assert found == numbers if numbers else found
    assert re.search(said, " ".join(source.notes)) if said else source.notes == []
    assert source.count() == len(found) + len(source.skipped)


# A header of profile x, then a footer.
MCAP_OF_OTHERS = (
    b"\x89MCAP0\r\n\x01\x09" + bytes(7) + b"\1\0\0\0x" + bytes(4) + b"\2\x14" + bytes(27) + b"\x89MCAP0\r\n"
)


def foreign_file(magic: bytes, name: str, more: int = 100) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        folder.mkdir()
        (folder / name).write_bytes(magic + bytes(more))
        return folder / name

    return make


def without_wal(folder: Path) -> Path:
    file = killed(folder, 0)
    file.with_name("live.db3-wal").unlink()
    return file


def short_index(folder: Path) -> Path:
    bag_file(folder)
    (folder / "metadata.yaml").write_text("rosbag2_bagfile_information: {version: 9}")
    return folder


def damaged_inside(folder: Path) -> Path:
    file = bag_file(folder, "SQLITE3")
    file.write_bytes(b"SQLite format 3\0" + bytes(8000))
    return folder


def with_another_file(folder: Path) -> Path:
    """Return a bag whose index lists a file that is not there."""
    file = bag_file(folder)
    index = folder / "metadata.yaml"
    index.write_text(index.read_text().replace(f"- {file.name}", f"- {file.name}\n  - gone_1.mcap"))
    return folder


def with_index(text: str, keep: bool = True) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        file = bag_file(folder)
        (folder / "metadata.yaml").write_text(text or (folder / "metadata.yaml").read_text())
        return folder if keep else file.unlink() or folder

    return make


def cut_early(storage: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        file = bag_file(folder, compression=storage) if storage else bag_file(folder)
        file.write_bytes(file.read_bytes()[:3000])
        return file

    return make


REFUSED = [
    # what, how it is made, what is said
    ("a bag of ROS 1", foreign_file(b"#ROSBAG V2.0\n", "x.bag"), r"a bag of ROS 1: `rosbags-convert --src .*x\.bag"),
    ("zstd", foreign_file(b"\x28\xb5\x2f\xfd", "x.mcap.zstd"), r"by zstd: `zstd -d \S+/x.mcap.zstd -o \S+/x.mcap`"),
    ("zstd, by another ending", foreign_file(b"\x28\xb5\x2f\xfd", "x.zst"), r"`zstd -d \S+/x.zst -o \S+/x`"),
    ("gzip", foreign_file(b"\x1f\x8b", "x.tar.gz"), r"compressed by gzip: `gunzip -c \S+/x.tar.gz > \S+/x.tar`"),
    ("gzip, in short", foreign_file(b"\x1f\x8b", "x.TGZ"), r"> \S+/x.tar`"),
    ("gzip, called a tar", foreign_file(b"\x1f\x8b", "a b-0.tar"), r"-c '\S+/a b-0.tar' > '\S+/unpacked-a b-0.tar'`"),
    ("a zip of nothing", foreign_file(b"PK\x05\x06", "x.zip"), "a zip archive with nothing in it"),
    ("text", foreign_file(b"hello", "x.txt"), r"x.txt' \(105 bytes\): it is not a whole video .* nor .*\.mcap"),
    ("zip", foreign_file(b"PK\x03\x04", "x.zip"), "a zip archive: `unzip "),
    ("a zip that is called a bag", foreign_file(b"PK\x03\x04", "x.db3"), "a zip archive"),
    ("a folder of archives", lambda f: foreign_file(b"PK\x03\x04", "x.zip")(f).parent, "no pictures, but .* a zip"),
    ("a database without its -wal", without_wal, "killed, copy live.db3-wal as well"),
    ("an mcap that is empty", foreign_file(b"", "x.mcap", 0), "record again"),
    ("a database that is empty", foreign_file(b"", "x.db3", 0), "record again"),
    ("an mcap of others", foreign_file(MCAP_OF_OTHERS, "x.mcap", 0), "not recorded by ROS 2"),
    ("an index that does not fit", short_index, "`ros2 bag reindex "),
    ("an index that is not YAML", with_index("a: [\n"), r"cannot open .* did not find .*reindex "),
    ("an index of a file that is missing", with_another_file, r"gone_1.mcap.*give one that is there \(\S*/bag.mcap\)"),
    ("an index alone", with_index("", keep=False), "no file of messages: copy them there"),
    ("an mcap that was cut before its first image", cut_early(""), "has no frames; .* was cut off, as by"),
    ("one that is compressed", cut_early("STORAGE"), "has no topic of .*; .* was cut off, as by"),
    ("a database that is damaged", damaged_inside, r"bag\.db3 \.recover"),
    ("an index that is missing", lambda f: capitals(f).parent, r"give one of these files, or .*reindex"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "said"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_is_refused_is_named_for_what_it_is(tmp_path: Path, make: Callable[[Path], Path], said: str):
    with pytest.raises(DataError, match=said) as found:
        list(open_source(str(make(tmp_path / "bag"))))
    assert "\n" not in str(found.value)


def test_the_command_that_is_named_unpacks(tmp_path: Path):
    """The zstd command knows .zst, and ros2 bag writes .zstd."""
    if not (zstd := shutil.which("zstd")):
        pytest.skip("no zstd here")
    bag = bag_file(tmp_path / "bag")
    subprocess.run([zstd, "-q", "--rm", bag, "-o", f"{bag}.zstd"], check=True)
    with pytest.raises(DataError) as found:
        open_source(f"{bag}.zstd")
    subprocess.run(str(found.value).split("`")[1], shell=True, check=True)
    assert len(list(open_source(str(bag)))) == 4


def test_a_reader_of_a_killed_recorders_files_changes_none(tmp_path: Path):
    file = killed(tmp_path / "bag", 2)
    before = {path: path.read_bytes() for path in file.parent.iterdir()}
    digest = open_frames(str(file), tmp_path).digest
    list(open_source(str(file)))
    assert {path: path.read_bytes() for path in file.parent.iterdir()} == before
    assert open_frames(str(file), tmp_path).digest == digest


def test_a_bag_gives_its_cameras_own_messages(tmp_path: Path):
    (frame, *_) = open_source(str(bag_file(tmp_path / "bag")))
    assert frame.image.encoding == "bgr8" and frame.image.data.nbytes == 48 * 64 * 3


# -- pictures and films that are turned


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_viewers_turn_them(tmp_path: Path, kind: str, orientation: int):
    data = picture_file(marked(), kind, orientation)
    (tmp_path / f"a.{kind}").write_bytes(data)
    from PIL import ImageOps

    expected = np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    frame = next(iter(open_source(str(tmp_path))))
    assert frame.rgb.shape == expected.shape and corners(frame.rgb) == corners(expected)


def test_one_picture_is_a_source_and_is_turned(tmp_path: Path):
    (tmp_path / "a.JPEG").write_bytes(picture_file(marked(), "JPEG", 6))
    source = open_source(str(tmp_path / "a.JPEG"))
    (frame,) = source
    assert (frame.name, frame.rgb.shape, corners(frame.rgb)) == (
        "a",
        (64, 48, 3),
        "-r-b",
    ) and source.count() == 1
    (tmp_path / "a.JPEG").write_bytes(jpeg()[:-300])
    with pytest.raises(DataError, match=r"none of 1 frames.*a\.JPEG is damaged"):
        list(open_source(str(tmp_path / "a.JPEG")))


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_films_of_pictures_with_notes_of_their_own_are_read(tmp_path: Path, orientation: int):
    (tmp_path / "v.mjpeg").write_bytes(picture_file(marked(), "JPEG", orientation) * 3)
    frames = list(open_source(str(tmp_path / "v.mjpeg")))
    shown = {1: "rb--", 3: "--br", 6: "-r-b", 8: "b-r-"}[orientation]
    assert len(frames) == 3 and {corners(frame.rgb) for frame in frames} == {shown}


def test_pictures_that_are_named_as_others_are_named_for_what_they_are(tmp_path: Path):
    for name, data in (("a", b"\0\0\0\x18ftypheic"), ("b", b"GIF89a"), ("c", b"<html>")):
        (tmp_path / f"{name}.jpg").write_bytes(data + bytes(99))
    (tmp_path / "d.jpg").write_bytes(jpeg())
    list(source := open_source(str(tmp_path)))
    words = [one.cause for one in source.skipped]
    assert all(
        re.search(f"is .*{said}.*save it as JPEG", one)
        for said, one in zip(("HEIC", "GIF", "web"), words, strict=True)
    )


def test_masks_are_turned_with_pictures_whose_stored_size_they_have(tmp_path: Path):
    wide = np.zeros((48, 64), np.uint8)
    wide[:24, :32] = 1  # the red part, before the picture is turned
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    for name, one in (("stored", wide), ("shown", np.rot90(wide, -1)), ("wrong", wide[:10])):
        (tmp_path / "images" / f"{name}.jpg").write_bytes(picture_file(marked(), "JPEG", 6))
        (tmp_path / "masks" / f"{name}.png").write_bytes(png(np.ascontiguousarray(one)))
    source = open_source(str(tmp_path))
    frames = {frame.name: frame for frame in source}
    assert frames.keys() == {"stored", "shown"} and "48x64 as the picture" in source.skipped[0].cause
    for frame in frames.values():
        assert frame.rgb.shape[:2] == (64, 48) == frame.mask.shape
        assert (frame.mask == ((frame.rgb[..., 0] > 200) & (frame.rgb[..., 2] < 90))).mean() > 0.97
    members = {"a.jpg": picture_file(marked(), "JPEG", 6), "a.mask.png": png(wide)}
    write_shard(tmp_path / "val-0.tar", members)
    assert next(iter(open_source(f"{tmp_path}:val"))).mask.shape == (64, 48)


@pytest.mark.parametrize(
    ("orientation", "declared", "bbox"),
    [
        (1, (64, 48), [0, 0, 32, 24]),
        (3, (64, 48), [32, 24, 32, 24]),  # as it is shown: the size does not tell, and annotators see it so
        (6, (48, 64), [24, 0, 24, 32]),
        (6, (64, 48), [0, 0, 32, 24]),  # as it is stored: the size tells
        (8, (64, 48), [0, 0, 32, 24]),
        (7, (64, 48), [0, 0, 32, 24]),
        (5, (None, None), [0, 0, 24, 32]),
    ],
)
def test_boxes_lie_on_what_they_name(
    tmp_path: Path, orientation: int, declared: tuple[int | None, int | None], bbox: list[int]
):
    (tmp_path / "a.jpg").write_bytes(picture_file(marked(), "JPEG", orientation))
    images = [{"id": 1, "file_name": "a.jpg", "width": declared[0], "height": declared[1]}]
    annotations = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": bbox}]
    content = {"images": images, "categories": [{"id": 1, "name": "red"}], "annotations": annotations}
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    frame = next(iter(open_source(str(tmp_path))))
    x0, y0, x1, y1 = frame.boxes.corners[0].astype(int)
    red = (frame.rgb[..., 0] > 200) & (frame.rgb[..., 2] < 90)
    inside = np.zeros(red.shape, bool)
    inside[y0:y1, x0:x1] = True
    assert (red == inside).mean() > 0.97 and frame.boxes.frame == red.shape


def film(path: Path, frame: NDArray[np.uint8], cover_first: bool = False) -> None:
    import av

    with av.open(str(path), "w") as container:
        streams = [("mjpeg", "yuvj420p", np.full((128, 128, 3), 9, np.uint8), 1)] * cover_first
        streams.append(("libx264", "yuv420p", frame, 5))
        opened = []
        for codec, pixels, image, count in streams:
            stream = container.add_stream(codec, rate=5)
            stream.height, stream.width, stream.pix_fmt = *image.shape[:2], pixels
            opened.append((stream, image, count))
        for stream, image, count in opened:
            for _ in range(count):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode(None))


def turned_film(path: Path, a: int, b: int, c: int, d: int) -> None:
    """Write a film whose track says how it is shown."""
    film(path, marked())
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44
    data[at : at + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("matrix", "shown"),
    [
        ((1, 0, 0, 1), "rb--"),
        ((0, 1, -1, 0), "-r-b"),  # a phone held upright
        ((-1, 0, 0, -1), "--br"),
        ((0, -1, 1, 0), "b-r-"),
        ((-1, 0, 0, 1), "br--"),  # a mirror
    ],
)
def test_films_are_turned_as_players_turn_them(tmp_path: Path, matrix: tuple[int, int, int, int], shown: str):
    turned_film(tmp_path / "v.mp4", *matrix)
    frames = list(open_source(str(tmp_path / "v.mp4")))
    assert len(frames) == 5 and {corners(frame.rgb) for frame in frames} == {shown}
    assert (
        by_display_matrix(None)
        == by_display_matrix(b"short")
        == by_display_matrix(struct.pack("=9i", *[0] * 9))
    )


def test_a_cover_is_not_the_film(tmp_path: Path):
    film(tmp_path / "v.mkv", marked(96, 128), cover_first=True)
    source = open_source(str(tmp_path / "v.mkv"))
    frames = list(source)
    assert len(frames) == 5 and corners(frames[0].rgb) == "rb--" and source.rate_hz == 5


# -- what is left out


def files(folder: Path, *names: str) -> Path:
    """Write pictures, masks where the name says so, and text."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        suffix = path.suffix.lower()
        is_mask = name.lower().startswith("masks/") or name.lower().endswith(".mask.png")
        data = png(mask(number % 2) if is_mask else picture(number)) if suffix == ".png" else b"text"
        path.write_bytes(jpeg(picture(number)) if suffix in (".jpg", ".jpeg") else data)
    return folder


FOLDERS = [
    # files, names of the frames, how many have masks, what is said
    (("b.JPG", "A.PNG", "A.Mask.PNG", "b.mask.png"), ["A", "b"], 2, []),
    (("images/a.JPEG", "masks/a.PNG"), ["a"], 1, []),
    (("images/a.jpg", "masks/a.png", "masks/a_mask.png", "masks/b.png"), ["a"], 1, ["masks.*: 2, such as a_mask.png"]),
    (("a.png", "b.png", "b.mask.png"), ["a", "b"], 1, ["1 of 2 frames have a mask"]),
    (("a.png", "c.mask.png"), ["a"], 0, [r"masks.*: 1, such as c.mask.png; .*masks/NAME\.png"]),
    (("a.png", "a.heic", "notes.txt", ".DS_Store", "Thumbs.db"), ["a"], 0, ["files.*: 2, such as a.heic; pict"]),
    (("a.png", "more/b.png", "empty/x.txt"), ["a"], 0, ["folders with pictures.*: 1, such as more"]),
    (("images/a.png", "b.png"), ["a"], 0, ["pictures that are not read: 1, such as b.png; only those in images/"]),
    (("cat/a.jpg", "dog/b.jpg", "__MACOSX/cat/._a.jpg", "docs/x.txt"), ["cat/a", "dog/b"], 0,
     ["folders.*: 2, such as __MACOSX; a folder without pictures is not a class"]),
    (("cat/a.jpg", "dog/b.jpg", "dog/b.txt", "labels.csv"), ["cat/a", "dog/b"], 0, ["labels.csv", "dog|b.txt"]),
    (("Images/a.jpg", "MASKS/a.png"), ["a"], 1, []),
    (("train/cat/a.jpg", "train/dog/b.jpg", "val/cat/c.jpg", "val/dog/d.jpg"),
     ["train/cat/a", "train/dog/b", "val/cat/c", "val/dog/d"], 0,
     ["the classes are train, val, not cat, dog in each: for these give .*/train$"]),
    (("cat/a.jpg", "dog/old/b.jpg"), ["cat/a", "dog/old/b"], 0, []),
    (("f10.png", "f9.png", "f1.png"), ["f1", "f9", "f10"], 0, []),
    (("c/f10.png", "c/f9.png"), ["c/f9", "c/f10"], 0, []),
]  # fmt: skip


@pytest.mark.parametrize(("names", "frames", "masks", "said"), FOLDERS)
def test_folders(tmp_path: Path, names: tuple[str, ...], frames: list[str], masks: int, said: list[str]):
    source = open_source(str(files(tmp_path, *names)))
    found = list(source)
    assert [frame.name for frame in found] == frames and source.skipped == []
    assert sum(frame.mask is not None for frame in found) == masks
    assert len(source.notes) == len(said)
    assert all(re.search(one, note) for one, note in zip(said, source.notes, strict=True)), source.notes


def test_members_of_shards_that_are_left_out_are_counted(tmp_path: Path):
    members = {f"k{index}.png": png(picture(index)) for index in range(3)}
    members |= {
        "k0.json": b"{}",
        "k0.seg.png": b"",
        "README.md": b"",
        "noending": b"",
        "k9.mask.png": png(mask()),
    }
    write_shard(tmp_path / "s.tar", members)
    (note,) = [one for one in open_source(str(tmp_path / "s.tar")).notes if "members" in one]
    assert "not read: 4, such as k0.json" in note and "mask.png" in note and "first dot" in note
    write_shard(tmp_path / "t.tar", {"a.heic": b""})
    with pytest.raises(DataError, match=r"no picture; members that are not read: 1, such as a\.heic"):
        open_source(str(tmp_path / "t.tar"))


@pytest.mark.parametrize(
    ("member", "key"),
    [
        ("1700000000.023456789.jpg", "1700000000.023456789"),
        ("drive/cam_12.5_x.JPG", "drive/cam_12.5_x"),
        ("2024-01-01T10.20.30.jpg", "2024-01-01T10.20.30"),
        ("frame.000123.jpg", "frame.000123"),
        ("v1.2-x.3.JPG", "v1.2-x.3"),
        ("a.jpg", "a"),
    ],
)
def test_stamps_are_keys(tmp_path: Path, member: str, key: str):
    mask_name = re.sub("(?i)jpg$", "mask.png", member)
    write_shard(tmp_path / "s.tar", {member: jpeg(picture()), mask_name: png(mask())})
    (frame,) = open_source(str(tmp_path / "s.tar"))
    assert frame.name == key and frame.mask is not None


def coco(folder: Path, annotations: list[Any], mark: bytes = b"", **image: Any) -> Path:
    (folder / "a.png").write_bytes(png(picture()))
    images = [{"id": 1, "file_name": "a.png", "height": 48, "width": 64, **image}]
    content = {"images": images, "categories": [{"id": 1, "name": "car"}], "annotations": annotations}
    (folder / "annotations.json").write_bytes(mark + json.dumps(content).encode())
    return folder


GOOD = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bbox": []}, r"1 of 2 annotations cannot be used; the first: id 9: bbox is \[\]"),
        ({"bbox": [1, 2, 3]}, "bbox"),
        ({"bbox": "abcd"}, "bbox is 'abcd', expected four numbers"),
        ({"bbox": [1, 2, 3, [4]]}, "expected four numbers"),
        ({"bbox": [90, 90, 3, 3]}, "1 annotations are not used: boxes lie outside of their picture"),
        ({"bbox": None}, "id 9"),
        ({"bbox": [float("nan"), 0, 1, 1]}, "bbox"),
        ({"image_id": 5}, "picture 5 and category 1, not listed"),
        ({"category_id": [1]}, "an id is"),
        ({"iscrowd": 1}, "1 annotations are not used: crowds"),
        ({"bbox": [5, 5, 0, 9]}, "1 annotations are not used: boxes have no area"),
    ],
)
def test_a_bad_annotation_costs_itself(tmp_path: Path, change: dict[str, Any], said: str):
    source = open_source(str(coco(tmp_path, [GOOD, {**GOOD, "id": 9, **change}])))
    (frame,) = source
    assert frame.boxes.corners.tolist() == [[1, 2, 4, 6]]
    assert re.search(said, " ".join(source.notes)) and len(source.notes) == 1


@pytest.mark.parametrize("known", ["7f3c-1", 1.0, "1", 10**30])
def test_ids_are_any(tmp_path: Path, known: Any):
    (frame,) = open_source(str(coco(tmp_path, [{**GOOD, "image_id": known}], id=known)))
    assert len(frame.boxes.corners) == 1


def test_pictures_of_the_same_id_do_not_share_boxes(tmp_path: Path):
    coco(tmp_path, [GOOD])
    path = tmp_path / "annotations.json"
    content = json.loads(path.read_text())
    content["images"].append({**content["images"][0], "file_name": "b.png"})
    path.write_text(json.dumps(content))
    source = open_source(str(tmp_path))
    assert [frame.name for frame in source] == ["a"]
    assert source.notes == ["1 of 2 images cannot be used; the first: id 1: another picture has the same id"]


def test_annotations_as_windows_writes_them(tmp_path: Path):
    coco(tmp_path, [GOOD], file_name="images\\a.png")
    files(tmp_path, "images/a.png")
    path = tmp_path / "annotations.json"
    path.write_bytes(path.read_text().encode("utf-16"))
    (frame,) = open_source(str(tmp_path))
    assert frame.name == "images/a" and len(frame.boxes.corners) == 1


def test_sizes_come_from_the_picture_and_a_mark_before_the_text_is_no_error(tmp_path: Path):
    source = open_source(
        str(coco(tmp_path, [{**GOOD, "bbox": [60, 40, 90, 90]}], b"\xef\xbb\xbf", height=None))
    )
    (frame,) = source
    assert frame.boxes.corners.tolist() == [[60, 40, 64, 48]] and frame.boxes.frame == (48, 64)


def test_classes_that_never_occur_are_named(tmp_path: Path):
    files(tmp_path, "images/a.png")
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "a.png").write_bytes(
        png(np.where(mask() + np.arange(64) < 32, 0, 255).astype(np.uint8))
    )
    (tmp_path / "labels.json").write_text('{"class_names": ["road", "car"]}')
    frames = open_frames(str(tmp_path), tmp_path)
    assert frames.never_seen() == []  # not looked at yet
    list(frames)
    assert frames.never_seen() == ["classes that never occur: car (just 0, 255 occur)"]
    (tmp_path / "masks" / "a.png").write_bytes(png(mask(1)))
    (tmp_path / "labels.json").write_text('{"class_names": ["road", "car", "void"], "void_index": 2}')
    list(frames := open_frames(str(tmp_path), tmp_path))
    assert frames.never_seen() == ["classes that never occur: road (just 1 occur)"]


# -- splits, names and order


def test_splits_never_mix(tmp_path: Path):
    others = ["val-night-000", "val-2024-000", "val-2024-night-000", "validation-0", "val-1-of"]
    for name in (*others, "val-000", "val-10", "val-9", "val-00011-of-00012", "val"):
        write_shard(tmp_path / f"{name}.tar", {f"{name}.png": png(picture())})
    (tmp_path / "val-1.TAR").write_bytes((tmp_path / "val.tar").read_bytes())
    names = [frame.name for frame in open_source(f"{tmp_path}:val")]
    assert names == ["val-000", "val", "val-9", "val-10", "val-00011-of-00012", "val"]
    for name in others[:3]:
        assert [frame.name for frame in open_source(f"{tmp_path}:{name[:-4]}")] == [name]
    with pytest.raises(
        DataError, match="val', 'val-1-of', 'val-2024', 'val-2024-night', 'val-night', 'validation"
    ):
        open_source(f"{tmp_path}:nig")


def test_names_are_in_natural_order():
    names = ["a10", "a9", "a", "a010", "b/2", "b/10", "b", "é2", "1.5", "1.10"]
    assert sorted(names, key=natural) == ["1.5", "1.10", "a", "a9", "a010", "a10", "b", "b/2", "b/10", "é2"]


def test_a_folder_named_as_a_number_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    files(tmp_path / "0001", "f2.png", "f10.png")
    monkeypatch.setattr(CameraSource, "__init__", lambda *_: pytest.fail("a camera was opened"))
    assert [frame.name for frame in open_source("0001", data_root=tmp_path)] == ["f2", "f10"]
    assert not is_camera("0001", tmp_path) and is_camera("0002", tmp_path) and not is_camera("x", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert [frame.key for frame in open_frames("0001", Path("nowhere"))] == ["f2", "f10"]


# -- pictures that are damaged


def frames_of(data: bytes, folder: Path) -> Iterator[LabelledFrame]:
    (folder / "a.jpg").write_bytes(data)
    return iter(open_frames(str(folder), folder))


def test_a_whole_jpeg_needs_no_end_marker(tmp_path: Path):
    from frankensplit.edge.image import decode_compressed

    data = jpeg()
    whole = decode_compressed(data)
    for end in (b"", b"\xff", bytes(30)):
        np.testing.assert_array_equal(decode_compressed(data[:-2] + end), whole)
    np.testing.assert_array_equal(next(frames_of(data[:-2], tmp_path)).rgb, whole)


@pytest.mark.parametrize("grey", [False, True])
def test_a_progressive_jpeg_is_whole_with_all_its_scans(grey: bool):
    from frankensplit.edge.image import decode_compressed

    noise = np.random.default_rng(0).integers(0, 255, (48, 64) if grey else (48, 64, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    np.testing.assert_array_equal(decode_compressed(data[:-2]), decode_compressed(data))
    scans = [one.start() for one in re.finditer(b"\xff\xda", data)]
    for at in [*scans[1:], *(one + 5 for one in scans), len(data) - 40]:
        with pytest.raises(ImageError, match="cut off"):
            decode_compressed(data[:at])


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_a_jpeg_that_was_cut_off_or_lost_its_middle_is_refused(
    tmp_path: Path, share: float, capfd: pytest.CaptureFixture[str]
):
    from frankensplit.edge.image import decode_compressed

    data = jpeg()
    at = 700 + int(share * (len(data) - 900))
    for bad in (data[:at], data[:at] + b"\xff\xd9", data[:700] + data[at:]):
        with pytest.raises(ImageError, match=r"damaged inside or cut off: (Corrupt JPEG data|Premature end)"):
            decode_compressed(bad)
        with pytest.raises(DataError, match=r"a\.jpg is damaged.*Corrupt JPEG"):
            next(frames_of(bad, tmp_path))
    assert capfd.readouterr().err == ""  # it is in the error


def test_bytes_left_over_in_a_jpeg_cost_no_frame(capfd: pytest.CaptureFixture[str]):
    from frankensplit.edge.image import decode_compressed

    data = jpeg()
    for more in (b"some left", bytes(900)):
        np.testing.assert_array_equal(
            decode_compressed(data[:-2] + more + data[-2:]), decode_compressed(data)
        )
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_a_fork_waits_until_nobody_listens():
    from frankensplit.edge.heard import heard

    with heard(re.compile(b"x")):
        pass
    if (child := os.fork()) == 0:
        with heard(re.compile(b"x")) as lines:
            os.write(2, b"x\n")
        os._exit(0 if lines == [b"x\n"] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_what_others_write_to_standard_error_goes_on(capfd: pytest.CaptureFixture[str]):
    from frankensplit.edge.heard import heard

    with heard(re.compile(b"mine")) as lines:
        os.write(2, b"mine 1\ntheirs\nmine 2\n")
    assert lines == [b"mine 1\n", b"mine 2\n"] and capfd.readouterr().err == "theirs\n"


def test_a_mask_with_transparency_is_a_mask(tmp_path: Path):
    files(tmp_path, "images/a.png", "masks/a.png")
    Image.fromarray(mask(1)).convert("LA").save(tmp_path / "masks" / "a.png")
    (frame,) = open_source(str(tmp_path))
    np.testing.assert_array_equal(frame.mask, mask(1))
