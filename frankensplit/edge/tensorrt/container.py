# SPDX-License-Identifier: Apache-2.0
"""The file of an engine: what it is, and its plan, with a digest that is checked before TensorRT sees the plan.

::

    magic 8 bytes | length of the description u32 | length of the plan u64 | SHA-256 of all that follows
    description, JSON | plan

The digest finds truncated and damaged files. It is not a signature: whoever can write the file can run code as its
reader, which is why :mod:`.engine_cache` reads only files that nobody else can write.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from typing import Any

from frankensplit.bundle import canonical_json
from frankensplit.errors import FrankensplitError

MAGIC = b"FSTRTEN1"
HEADER = struct.Struct("<8sIQ32s")
MAX_BYTES = 1 << 30


class EngineDamaged(FrankensplitError):
    """An engine's file is not what was written."""


@dataclass(frozen=True)
class Container:
    """A plan and its description."""

    description: dict[str, Any]
    plan: bytes

    def to_bytes(self) -> bytes:
        """Return the file's content."""
        described = canonical_json(self.description)
        digest = hashlib.sha256(described + self.plan).digest()
        return HEADER.pack(MAGIC, len(described), len(self.plan), digest) + described + self.plan

    @classmethod
    def from_bytes(cls, content: bytes) -> Container:
        """Read what ``to_bytes`` gave; raises EngineDamaged."""
        if len(content) < HEADER.size:
            raise EngineDamaged(f"file of {len(content)} bytes, expected at least {HEADER.size}")
        magic, described, planned, digest = HEADER.unpack_from(content)
        if magic != MAGIC:
            raise EngineDamaged(f"file begins with {magic!r}, expected {MAGIC!r}")
        if len(content) != HEADER.size + described + planned:
            raise EngineDamaged(f"file of {len(content)} bytes, expected {HEADER.size + described + planned}")
        body = content[HEADER.size :]
        if hashlib.sha256(body).digest() != digest:
            raise EngineDamaged("file's SHA-256 is not the one that it was written with")
        return cls(_description(body[:described]), body[described:])


def _description(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except ValueError as err:
        raise EngineDamaged(f"file's description is not JSON: {err}") from err
    if not isinstance(value, dict):
        raise EngineDamaged(f"file's description is a {type(value).__name__}, expected an object")
    return value
