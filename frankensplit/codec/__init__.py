# SPDX-License-Identifier: Apache-2.0
"""Integers to packets and back: tables, the rANS coder, the wire format. Needs numpy only."""

from __future__ import annotations

from frankensplit.codec.context import Contexts
from frankensplit.codec.packet import HEADER_BYTES, Packet
from frankensplit.codec.rans import (
    IMPLEMENTATION,
    decode,
    decode_in_context,
    encode,
    encode_in_context,
    encode_smaller,
    quantise,
)
from frankensplit.codec.tables import Tables, pmf_to_quantized_cdf

__all__ = [
    "HEADER_BYTES",
    "IMPLEMENTATION",
    "Contexts",
    "Packet",
    "Tables",
    "decode",
    "decode_in_context",
    "encode",
    "encode_in_context",
    "encode_smaller",
    "pmf_to_quantized_cdf",
    "quantise",
]
