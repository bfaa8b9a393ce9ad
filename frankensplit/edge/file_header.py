# SPDX-License-Identifier: Apache-2.0
"""Read the size that a JPEG, PNG or WebP file declares, before any pixel is allocated."""

from __future__ import annotations

from frankensplit.errors import ImageError

_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {
    0xC4,
    0xC8,
    0xCC,
}  # SOF0..15 without DHT, JPG, DAC (ITU-T T.81, B.1)
_JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length


def declared_size(data: bytes, file_format: str = "") -> tuple[int, int]:
    """Return height and width in pixels from the header of a file.

    Raises:
        ImageError: no JPEG, PNG or WebP, or its header or end is missing; the text names ``file_format``.
    """
    for magic, at, size_of in _FILES:
        if data[at : at + len(magic)] == magic:
            size = size_of(data)
            break
    else:
        raise ImageError(
            f"compressed image of {len(data)} bytes (format {file_format!r}) begins with "
            f"{data[:12].hex(' ') or 'nothing'}; expected JPEG, PNG or WebP"
        )
    if size is None or 0 in size:
        raise ImageError(
            f"compressed image of {len(data)} bytes (format {file_format!r}) is damaged or cut off"
        )
    return size


def _png(data: bytes) -> tuple[int, int] | None:
    if data[12:16] != b"IHDR" or len(data) < 33 or b"IEND" not in data:
        return None
    return int.from_bytes(data[20:24], "big"), int.from_bytes(data[16:20], "big")


def _jpeg(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _JPEG_SIZES:
            # Inside coded data FF is always followed by 00 or a restart, so the first FF D9 ends the image.
            ends = data.find(b"\xff\xd9", at) >= 0
            return (_big(data, at + 5), _big(data, at + 7)) if ends else None
        if marker == 0xFF:
            at += 1
        else:
            at += 2 if marker in _JPEG_ALONE else 2 + _big(data, at + 2)
    return None


def _webp(data: bytes) -> tuple[int, int] | None:
    if len(data) < 8 + int.from_bytes(data[4:8], "little") or len(data) < 30:
        return None
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[27:30], "little"), 1 + int.from_bytes(data[24:27], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits >> 14 & 0x3FFF), 1 + (bits & 0x3FFF)
    if kind == b"VP8 ":
        return int.from_bytes(data[28:30], "little") & 0x3FFF, int.from_bytes(data[26:28], "little") & 0x3FFF
    return None


def _big(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")


_FILES = ((b"\xff\xd8", 0, _jpeg), (b"\x89PNG\r\n\x1a\n", 0, _png), (b"WEBP", 8, _webp))
