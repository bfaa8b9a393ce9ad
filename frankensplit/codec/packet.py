# SPDX-License-Identifier: Apache-2.0
"""The packet on the wire, format 1: a 32-byte header and a payload.

Little-endian; offsets in bytes:

====== ======= ======================================================================
offset type    meaning
====== ======= ======================================================================
0      4 bytes magic ``FSP1``; another last byte is another format
4      u8      flags: bit 0 context-coded payload; the others are 0
5      u8      quality level of the codec
6      8 bytes codec id: which encoder and tables made the payload
14     u16 x 2 height and width of the image as the camera gave it, from 1 on
18     u16 x 3 channels, height and width of the latent, from 1 on
24     u32     payload length in bytes
28     u32     CRC-32 (zlib) over bytes 0 to 27 followed by the payload
32     bytes   payload: the rANS stream
====== ======= ======================================================================
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from frankensplit.errors import PacketError

MAGIC = b"FSP1"
CONTEXT_CODED = 1
CHECKED = struct.Struct("<4sBB8s5HI")
CHECKSUM = struct.Struct("<I")
HEADER_BYTES = CHECKED.size + CHECKSUM.size


@dataclass(frozen=True)
class Packet:
    """One compressed frame; decodes alone.

    Args:
        level: quality level, 0 to 255.
        codec_id: 8 bytes.
        source_height: rows of the camera's image, 1 to 65535.
        source_width: its columns, 1 to 65535.
        shape: ``(C, H, W)`` of the latent, each 1 to 65535. Declared, not proved: check it against the codec
            before anything is allocated.
        payload: rANS stream.
        context_coded: the payload was made with the codec's contexts, not with its tables.

    Raises:
        PacketError: a value out of range.
    """

    level: int
    codec_id: bytes
    source_height: int
    source_width: int
    shape: tuple[int, int, int]
    payload: bytes
    context_coded: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.level <= 255:
            raise PacketError(f"level is {self.level}, expected 0 to 255")
        if len(self.codec_id) != 8:
            raise PacketError(f"codec id has {len(self.codec_id)} bytes, expected 8")
        if len(self.shape) != 3 or not all(1 <= size <= 65535 for size in self._sizes):
            raise PacketError(
                f"source {self.source_height}x{self.source_width} or latent {self.shape} is out of range, "
                "expected sizes of 1 to 65535"
            )

    @property
    def _sizes(self) -> tuple[int, ...]:
        return (self.source_height, self.source_width, *self.shape)

    def to_bytes(self) -> bytes:
        """Give the packet's bytes, ``HEADER_BYTES`` longer than the payload."""
        flags = CONTEXT_CODED if self.context_coded else 0
        checked = CHECKED.pack(MAGIC, flags, self.level, self.codec_id, *self._sizes, len(self.payload))
        return b"".join([checked, CHECKSUM.pack(zlib.crc32(self.payload, zlib.crc32(checked))), self.payload])

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview) -> Packet:
        """Read a packet; ``data`` is any buffer of bytes and holds nothing else.

        Raises:
            PacketError: foreign, truncated, damaged, of another format, or with features unknown here.
        """
        view = memoryview(bytes(memoryview(data)))
        _check_frame(view)
        _, flags, level, codec_id, height, width, *shape, length = CHECKED.unpack_from(view)
        _check_whole(view, length)
        if flags & ~CONTEXT_CODED:
            raise PacketError(f"flags {flags:#04x} are unknown to this version; install a newer frankensplit")
        channels, rows, columns = shape
        return cls(
            level, codec_id, height, width, (channels, rows, columns), bytes(view[HEADER_BYTES:]), bool(flags)
        )


def _check_frame(view: memoryview) -> None:
    """Refuse data that are not a packet of format 1."""
    if len(view) < HEADER_BYTES:
        raise PacketError(
            f"packet has {len(view)} bytes, expected {HEADER_BYTES} or more; it was cut off: send it again"
        )
    magic = bytes(view[: len(MAGIC)])
    if magic != MAGIC:
        raise PacketError(
            f"packet begins with {magic!r}, expected {MAGIC!r}; it is not a packet: check what sent it"
        )


def _check_whole(view: memoryview, length: int) -> None:
    """Refuse data that were cut, extended or changed on the way."""
    payload = view[HEADER_BYTES:]
    if length != len(payload):
        raise PacketError(
            f"payload has {len(payload)} bytes, its header declares {length}; it is damaged: send it again"
        )
    (declared,) = CHECKSUM.unpack_from(view, CHECKED.size)
    computed = zlib.crc32(payload, zlib.crc32(view[: CHECKED.size]))
    if declared != computed:
        raise PacketError(
            f"checksum is {computed:#010x}, the header declares {declared:#010x}; the packet is damaged: send it again"
        )
