# SPDX-License-Identifier: Apache-2.0
"""Read the size and the orientation that a picture file declares, before any pixel is allocated."""

from __future__ import annotations

import re

from frankensplit.edge.file_header import MAGICS, declared

_PNM = re.compile(rb"P[1-6](?:\s|#[^\n]{0,200}\n){1,40}(\d{1,9})(?:\s|#[^\n]{0,200}\n){1,40}(\d{1,9})\s")
_TIFF_WIDTH, _TIFF_HEIGHT, _ORIENTATION = 256, 257, 274
_TIFF_ENTRIES = 4096  # a page has a few dozen
_EXIF = b"Exif\0\0"
_EXIF_BYTES = 1 << 16  # size of a JPEG segment; the first page comes first and has the orientation
_JPEG_NOTES = 1 << 20  # EXIF begins before this offset: it precedes the pixels and most other metadata


def picture_size(data: bytes) -> tuple[int, int] | None:
    """Return height and width in pixels of a JPEG, PNG, WebP, BMP, TIFF or PNM file; None where it is none of them.

    Raises:
        ImageError: a JPEG, PNG or WebP is damaged, or made to take long.
    """
    if any(data[at : at + len(magic)] == magic for magic, at in MAGICS):
        return declared(data)[:2]
    if data[:2] == b"BM":
        return _bmp(data)
    if is_tiff(data):
        return _tiff(data)
    found = _PNM.match(data)
    return (int(found[2]), int(found[1])) if found else None


def _bmp(data: bytes) -> tuple[int, int] | None:
    if len(data) < 26:
        return None
    if int.from_bytes(data[14:18], "little") == 12:  # OS/2's header
        return int.from_bytes(data[20:22], "little"), int.from_bytes(data[18:20], "little")
    width, height = (int.from_bytes(data[at : at + 4], "little", signed=True) for at in (18, 22))
    return abs(height), abs(width)  # a negative height says that the first row comes first


def _tiff(data: bytes) -> tuple[int, int] | None:
    """Read the first page, which is the one that is decoded."""
    found = _tags(data, _TIFF_HEIGHT, _TIFF_WIDTH)
    return (found[_TIFF_HEIGHT], found[_TIFF_WIDTH]) if all(found.values()) else None


def orientation(data: bytes) -> int:
    """Return EXIF's orientation of a JPEG, PNG, WebP or TIFF file, 1 to 8; 0 where it says nothing."""
    exif = data[_exif_at(data) :][:_EXIF_BYTES]
    return _tags(exif, _ORIENTATION)[_ORIENTATION] if is_tiff(exif) else 0


def is_tiff(data: bytes) -> bool:
    """Tell whether a file, or EXIF's notes in one, is a TIFF."""
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _exif_at(data: bytes) -> int:
    """Return where EXIF's notes begin, if there are some; a TIFF file is made of them."""
    if data[:2] == b"\xff\xd8":
        return data.find(_EXIF, 0, _JPEG_NOTES) + len(_EXIF)
    if data[:4] == b"\x89PNG":
        return data.find(b"eXIf") + 4
    if data[8:12] == b"WEBP":
        at = data.find(b"EXIF") + 8
        # Some writers repeat the mark here.
        return at + len(_EXIF) if data[at : at + len(_EXIF)] == _EXIF else at
    return 0


def _tags(data: bytes, *wanted: int) -> dict[int, int]:
    """Return values of the first page of a TIFF file by tag, 0 for those that it lacks; of two the larger counts."""
    order = "little" if data[:2] == b"II" else "big"
    big = 43 in data[2:4]  # BigTIFF: 8 bytes for each offset and count

    def number(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], order)  # type: ignore[arg-type]

    page = number(8, 8) if big else number(4, 4)
    count, entry, length = (number(page, 8), page + 8, 20) if big else (number(page, 2), page + 2, 12)
    found = dict.fromkeys(wanted, 0)
    for at in range(entry, entry + length * min(count, _TIFF_ENTRIES), length):
        tag, kind = number(at, 2), number(at + 2, 2)
        if tag in found:
            bytes_of = {3: 2, 4: 4, 16: 8}.get(kind, 8 if big else 4)
            found[tag] = max(found[tag], number(at + (12 if big else 8), bytes_of))
    return found
