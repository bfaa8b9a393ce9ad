# SPDX-License-Identifier: Apache-2.0
"""Read what a JPEG, PNG or WebP file declares, before any pixel is allocated, in bounded time."""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from frankensplit.errors import ImageError, shown

# Most segments before the first scan: enough for 64 MiB of metadata. Each costs a step in Python.
MAX_SEGMENTS = 1024
# The decoder passes over the whole picture for each scan, and an empty scan takes 33 bytes. Encoders make about 10.
MAX_SCANS = 100
# libpng inflates each compressed chunk to up to 8 MB, which takes 40 ms; a picture with a profile and some notes has 3.
MAX_COMPRESSED_NOTES = 16
# Encoders write the pixels in chunks of 8 KiB or one row: the largest picture has half of this. So many take 65 ms.
MAX_CHUNKS = 1 << 16
_CHUNK = struct.Struct(">I4s")  # length of what follows, kind
_COMPRESSED_NOTES = (b"zTXt", b"iTXt", b"iCCP")
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # channels of each colour type; a palette is decoded to RGB
_FILL = re.compile(rb"\xff*")  # a marker may follow any number of these: too many for a loop in Python

_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {
    0xC4,
    0xC8,
    0xCC,
}  # SOF0..15 without DHT, JPG, DAC (ITU-T T.81, B.1)
_JPEG_SCAN = 0xDA
_JPEG_SEQUENTIAL = (0xC0, 0xC1)
_JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length


class Declared(NamedTuple):
    """What a file's header says: height and width, bytes of a decoded pixel, and passes over the whole picture."""

    height: int
    width: int
    pixel_bytes: int = 3
    passes: int = 1


def declared(data: bytes, file_format: str = "") -> Declared:
    """Return what the header of a file says.

    Raises:
        ImageError: no JPEG, PNG or WebP, its header or end is missing (but the end of a JPEG with one scan, which its
            decoder tells), or it has more segments, scans or compressed notes than any encoder writes; the text names
            ``file_format``.
    """
    for magic, at, read in _FILES:
        if data[at : at + len(magic)] == magic:
            found = read(data)
            break
    else:
        raise ImageError(
            f"compressed image of {len(data)} bytes (format {shown(file_format)}) begins with "
            f"{data[:12].hex(' ') or 'nothing'}; expected JPEG, PNG or WebP"
        )
    if found is None or 0 in found:
        raise ImageError(
            f"compressed image of {len(data)} bytes (format {shown(file_format)}) is damaged or cut off"
        )
    return found


def _png(data: bytes) -> Declared | None:
    if data[12:16] != b"IHDR" or len(data) < 33:
        return None
    at, notes = 8, 0
    for _ in range(MAX_CHUNKS):
        if at + 12 > len(data):
            return None
        length, kind = _CHUNK.unpack_from(data, at)
        if kind == b"IEND":
            break
        notes += kind in _COMPRESSED_NOTES
        at += 12 + length
    else:
        raise ImageError(f"PNG has more than {MAX_CHUNKS} chunks, which are not read; save it again")
    if notes > MAX_COMPRESSED_NOTES:
        raise ImageError(
            f"PNG has {notes} compressed notes, at most {MAX_COMPRESSED_NOTES} are read; save it without"
        )
    depth, colours = data[24], data[25]
    pixel_bytes = _PNG_CHANNELS.get(colours, 4) * (2 if depth == 16 else 1)
    return Declared(_number(data, 20, 4), _number(data, 16, 4), pixel_bytes)


def _jpeg(data: bytes) -> Declared | None:
    at, frame = 2, 0
    for _ in range(MAX_SEGMENTS):
        if at + 10 > len(data) or data[at] != 0xFF:
            return None
        at = _FILL.match(data, at).end() - 1  # type: ignore[union-attr]  # it matches anywhere
        if at + 10 > len(data):
            return None
        marker = data[at + 1]
        if marker == _JPEG_SCAN:
            return _jpeg_frame(data, frame, at) if frame else None
        if marker in _JPEG_SIZES:
            frame = at
        at += 2 if marker in _JPEG_ALONE else 2 + _number(data, at + 2, 2)
    raise ImageError(f"JPEG has {MAX_SEGMENTS} segments before its first scan, fewer are read; save it again")


def _jpeg_frame(data: bytes, frame: int, scan: int) -> Declared | None:
    """Read the frame's header, given where it and the first scan begin."""
    kind, components = data[frame + 1], data[frame + 9]
    # A sequential file whose first scan has all colours, as cameras send, has no other scan: we need not search.
    single = kind in _JPEG_SEQUENTIAL and data[scan + 4] >= components
    # Inside coded data FF is always followed by 00 or a restart, so FF DA begins a scan and the first FF D9 ends all.
    scans = 1 if single else data.count(b"\xff\xda", scan)
    if scans > MAX_SCANS:
        raise ImageError(f"JPEG has {scans} scans, at most {MAX_SCANS} are decoded; save it again")
    # A file without its end marker may be whole: the decoder checks the last scan, we check that all scans are there.
    if not single and data.find(b"\xff\xd9", scan) < 0 and not _all_scanned(data, frame, scan):
        return None
    return Declared(_number(data, frame + 5, 2), _number(data, frame + 7, 2), components, scans)


def _all_scanned(data: bytes, frame: int, scan: int) -> bool:
    """Tell whether the scans that begin in a file bring each of a colour's 64 coefficients to its last bit."""
    whole = (1 << 64) - 1
    found = dict.fromkeys(data[frame + 10 : frame + 10 + 3 * data[frame + 9] : 3], 0)
    while scan >= 0:
        colours = data[scan + 5 : scan + 5 + 2 * data[scan + 4] : 2]
        first, last, bits = data[scan + 5 + 2 * len(colours) :][:3].ljust(3, b"\xff")
        if not bits & 15:  # the low half is the number of bits that later scans add
            for colour in colours:
                found[colour] = found.get(colour, 0) | whole & ((2 << last) - (1 << first))
        scan = data.find(b"\xff\xda", scan + 2, len(data) - 4)
    return all(one == whole for one in found.values())


def _webp(data: bytes) -> Declared | None:
    if len(data) < 8 + int.from_bytes(data[4:8], "little") or len(data) < 30:
        return None
    kind = data[12:16]
    if kind == b"VP8X":
        height, width = (1 + int.from_bytes(data[place : place + 3], "little") for place in (27, 24))
        return Declared(height, width, 4)
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return Declared(1 + (bits >> 14 & 0x3FFF), 1 + (bits & 0x3FFF), 4)
    if kind == b"VP8 ":
        height, width = (int.from_bytes(data[place : place + 2], "little") & 0x3FFF for place in (28, 26))
        return Declared(height, width)
    return None


def _number(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "big")


_FILES = ((b"\xff\xd8", 0, _jpeg), (b"\x89PNG\r\n\x1a\n", 0, _png), (b"WEBP", 8, _webp))
MAGICS = tuple((magic, at) for magic, at, _ in _FILES)  # the bytes that mark these formats, and their offsets
