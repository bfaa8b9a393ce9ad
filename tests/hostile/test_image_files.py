# SPDX-License-Identifier: Apache-2.0
"""Compressed images of strangers: what the robot spends on one is bounded, whatever its file says."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frankensplit.bundle import MAX_SOURCE_PIXELS
from frankensplit.edge import image
from frankensplit.edge.file_header import MAX_COMPRESSED_NOTES, MAX_SCANS, MAX_SEGMENTS, Declared, declared
from frankensplit.edge.image import FREE_BYTES, decode_compressed
from frankensplit.errors import ImageError

MIB = 1 << 20


def jpeg(height: int = 16, width: int = 24, *options: int) -> bytes:
    pixels = np.random.default_rng(1).integers(0, 256, (height, width), dtype=np.uint8)
    return cv2.imencode(".jpg", pixels, options)[1].tobytes()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    width: int, height: int, depth: int = 8, kind: int = 2, extra: bytes = b"", data: bytes = b"x"
) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.fixture
def no_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a decoder is given the file."""
    monkeypatch.setattr(image, "imdecode", lambda _: pytest.fail("decoded"))


class Counted(bytes):
    """A file that counts how often Python looks into it: each look takes a microsecond on a robot."""

    looks = 0

    def __getitem__(self, place):  # type: ignore[no-untyped-def,override]
        Counted.looks += 1
        return super().__getitem__(place)


@pytest.mark.parametrize(
    "padding", [b"\xff" * MIB, b"\xff\xd0" * MIB, b"\xff\xe0\x00\x02" * MIB, b"\xff\x01" * MIB]
)
def test_padding_before_the_size_takes_few_steps(padding: bytes):
    whole = jpeg()
    Counted.looks = 0
    try:
        found = declared(Counted(whole[:2] + padding + whole[2:]))
        assert found[:2] == (16, 24)
    except ImageError as err:
        assert f"{MAX_SEGMENTS} segments" in str(err)
    assert Counted.looks < 10 * MAX_SEGMENTS


def test_padding_is_read_as_before():
    """Any number of FF before a marker is legal, and a few segments are normal."""
    whole = jpeg()
    for padding in (b"\xff", b"\xff" * 100_000, (b"\xff\xe5\xff\xff" + bytes(65533)) * 20):
        found = decode_compressed(whole[:2] + padding + whole[2:])
        np.testing.assert_array_equal(found, decode_compressed(whole))


def test_scans_are_counted(no_decoder: None):
    progressive = jpeg(64, 64, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    last = progressive[progressive.rfind(b"\xff\xda") : -2]
    assert 1 < declared(progressive).passes < MAX_SCANS
    with pytest.raises(ImageError, match=f"at most {MAX_SCANS} are decoded"):
        decode_compressed(progressive[:-2] + last * 200 + b"\xff\xd9")


def test_pixels_times_scans_are_bounded(no_decoder: None):
    progressive = bytearray(jpeg(64, 64, cv2.IMWRITE_JPEG_PROGRESSIVE, 1))
    at = progressive.find(b"\xff\xc2")
    struct.pack_into(">HH", progressive, at + 5, 8192, 8000)
    with pytest.raises(ImageError, match="8000x8192 pixels in 6 scans"):
        decode_compressed(bytes(progressive) + bytes(MIB))


def test_scans_of_separate_colours_are_counted_and_those_after_a_whole_one_are_not():
    grey = jpeg(64, 64)
    scan = grey.find(b"\xff\xda")
    # Libjpeg is done after the first.
    assert declared(grey[:-2] + grey[scan:-2] * 200 + b"\xff\xd9").passes == 1
    three = bytearray(grey)
    three[three.find(b"\xff\xc0") + 9] = 3
    with pytest.raises(ImageError, match="201 scans"):
        declared(bytes(three[:-2]) + grey[scan:-2] * 200 + b"\xff\xd9")


def test_chunks_of_a_png_are_counted(no_decoder: None):
    with pytest.raises(ImageError, match="more than 65536 chunks"):
        decode_compressed(png(8, 8, extra=chunk(b"tEXt", b"") * 70_000))


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_compressed_notes_are_counted(no_decoder: None, kind: bytes):
    with pytest.raises(ImageError, match=f"at most {MAX_COMPRESSED_NOTES} are read"):
        decode_compressed(png(8, 8, extra=chunk(kind, b"x") * (MAX_COMPRESSED_NOTES + 1)))


@pytest.mark.parametrize(
    ("file", "size"),
    [
        (png(8192, 8192, 16, 6, data=bytes(400_000)), Declared(8192, 8192, 8)),
        (png(8192, 4096, 8, 2), Declared(4096, 8192, 3)),
        (png(8192, 8192, 8, 3), Declared(8192, 8192, 3)),
    ],
)
def test_a_small_file_of_many_bytes_of_pixels_is_refused(no_decoder: None, file: bytes, size: Declared):
    assert declared(file) == size
    with pytest.raises(
        ImageError, match=rf"{len(file)} bytes declares {size.width}x{size.height}.*at most \d+ bytes"
    ):
        decode_compressed(file)


def test_empty_frames_of_cameras_are_decoded():
    """A black frame is not an attack: 4K in any format, and 24 megapixels of baseline JPEG."""
    black = np.zeros((2160, 3840, 3), np.uint8)
    for suffix, options in ((".png", []), (".jpg", []), (".webp", [cv2.IMWRITE_WEBP_QUALITY, 101])):
        file = cv2.imencode(suffix, black, options)[1].tobytes()
        assert decode_compressed(file).shape == black.shape
    file = cv2.imencode(".jpg", np.zeros((4000, 6000, 3), np.uint8))[1].tobytes()
    assert FREE_BYTES < 4000 * 6000 * 3 and decode_compressed(file).shape == (4000, 6000, 3)


def test_the_limit_of_files_is_the_limit_of_packets(no_decoder: None):
    with pytest.raises(ImageError, match=f"8193x8192 pixels, at most {MAX_SOURCE_PIXELS}"):
        decode_compressed(png(8193, 8192, 1, 0))


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x10\0\0\0WEBP"]), st.binary(max_size=200)
)
def test_any_header_gives_a_size_or_an_image_error(magic: bytes, rest: bytes):
    try:
        found = declared(magic + rest)
    except ImageError:
        return
    assert min(found) > 0
