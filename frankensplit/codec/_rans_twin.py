# SPDX-License-Identifier: Apache-2.0
"""Pure-Python twin of the C coder, and the description of its bit stream.

Both give the same bytes and refuse the same input with the same words; this one serves where no compiler is.

**State.** The coder is a range asymmetric numeral system (Duda, arXiv 1311.2540): one unsigned number, the
state, with ``LOWER <= state < 2**63`` between steps. A step codes one item of total ``2**bits`` that lies at
``start`` and is ``frequency`` wide; it moves at most one 32-bit word between state and stream.

**Items of a symbol.** A row of the tables has slots 0, 1, ..., ``top``. With ``value = symbol - offset``:

* ``0 <= value < top``: one item, the slot ``value``, 16 bits of precision.
* else an outlier: the slot ``top``; then, at 4 bits a digit and all digits alike, the number of digits of
  ``raw``; then the digits of ``raw``, least significant first. ``raw`` is ``-2 * value - 1`` below the row
  (odd) and ``2 * (value - top)`` above it (even); raw 0 has no digits. At most 7 digits, hence
  ``-2**27 <= value < top + 2**27``.

**Order.** Symbols run channel by channel, each channel row by row. The encoder takes all items from last to
first, so that the decoder meets them from first to last.

**Bytes.** Little-endian 32-bit words: low half of the final state, high half, then the words that the encoder
shed, newest first. No header, count or padding. A decoder must end in the state ``LOWER`` with no word left.
An empty latent is the two words of ``LOWER``. These are the bytes of CompressAI's ``encode_with_indexes``.
"""

from __future__ import annotations

import struct
from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

LOWER = 1 << 31
WORD_BITS = 32
STATE_BITS = 63
SLOT_BITS = 16
DIGIT_BITS = 4
MAX_DIGITS = 7
OUTLIER_LIMIT = 1 << (DIGIT_BITS * MAX_DIGITS - 1)

Ints = NDArray[np.int32]


class _Encoder:
    """State and shed words of an encoder."""

    def __init__(self) -> None:
        self.state = LOWER
        self.words: list[int] = []

    def push(self, start: int, frequency: int, bits: int) -> None:
        if self.state >= frequency << (STATE_BITS - bits):
            self.words.append(self.state & 0xFFFFFFFF)
            self.state >>= WORD_BITS
        quotient, remainder = divmod(self.state, frequency)
        self.state = (quotient << bits) + remainder + start

    def finish(self) -> bytes:
        words = [self.state & 0xFFFFFFFF, self.state >> WORD_BITS, *reversed(self.words)]
        return struct.pack(f"<{len(words)}I", *words)


class _Decoder:
    """State and unread words of a decoder."""

    def __init__(self, payload: bytes) -> None:
        if len(payload) < 8 or len(payload) % 4:
            raise ValueError(f"payload has {len(payload)} bytes, expected a multiple of 4 from 8 on")
        low, high, *words = struct.unpack(f"<{len(payload) // 4}I", payload)
        self.state = low | high << WORD_BITS
        self.words = words[::-1]
        if not LOWER <= self.state < 1 << STATE_BITS:
            raise ValueError("payload begins with a state out of range")

    def pop(self, start: int, frequency: int, bits: int) -> bool:
        """Remove the item on top; False when the word that is then needed is missing."""
        self.state = frequency * (self.state >> bits) + (self.state & ((1 << bits) - 1)) - start
        if self.state < LOWER:
            if not self.words:
                return False
            self.state = self.state << WORD_BITS | self.words.pop()
        return True

    def pop_digit(self) -> int:
        """Remove and return a digit; -1 when words run out."""
        digit = self.state & ((1 << DIGIT_BITS) - 1)
        return digit if self.pop(digit, 1, DIGIT_BITS) else -1


def _outlier_digits(value: int, top: int) -> list[int]:
    """Digit count and digits of an outlier, in decoding order."""
    raw = -2 * value - 1 if value < 0 else 2 * (value - top)
    digits = []
    while raw:
        digits.append(raw & 15)
        raw >>= DIGIT_BITS
    return [len(digits), *digits]


def _pop_outlier(decoder: _Decoder, top: int, place: str) -> int:
    """Read what follows slot ``top``; return the symbol's value."""
    count = decoder.pop_digit()
    if count > MAX_DIGITS:
        raise ValueError(f"outlier of {place} has more than {MAX_DIGITS} digits")
    digits = [decoder.pop_digit() for _ in range(count)]
    if count < 0 or -1 in digits:
        raise ValueError(f"payload ends within {place}")
    if digits and digits[-1] == 0:
        raise ValueError(f"outlier of {place} has a leading zero")
    raw = sum(digit << (DIGIT_BITS * i) for i, digit in enumerate(digits))
    return -(raw >> 1) - 1 if raw & 1 else (raw >> 1) + top


def encode(symbols: Ints, cdf: Ints, sizes: Ints, offsets: Ints) -> bytes:
    """Encode ``symbols`` (C, H, W), one row of valid tables a channel; ValueError if one is out of range."""
    encoder = _Encoder()
    for channel in reversed(range(len(sizes))):
        row, top, offset = cdf[channel].tolist(), int(sizes[channel]) - 2, int(offsets[channel])
        for symbol in reversed(symbols[channel].ravel().tolist()):
            value = slot = symbol - offset
            if not 0 <= value < top:
                if not -OUTLIER_LIMIT <= value < top + OUTLIER_LIMIT:
                    low, high = offset - OUTLIER_LIMIT, offset + top + OUTLIER_LIMIT - 1
                    raise ValueError(f"symbol {symbol} of channel {channel} is not in {low} to {high}")
                for digit in reversed(_outlier_digits(value, top)):
                    encoder.push(digit, 1, DIGIT_BITS)
                slot = top
            encoder.push(row[slot], row[slot + 1] - row[slot], SLOT_BITS)
    return encoder.finish()


def decode(payload: bytes, symbols: Ints, cdf: Ints, sizes: Ints, offsets: Ints) -> None:
    """Fill ``symbols`` (C, H, W) from ``payload``; ValueError if no encoder made it with these tables."""
    decoder = _Decoder(payload)
    flat, plane_size = symbols.reshape(-1), symbols.size // len(sizes)
    for channel, offset in enumerate(offsets.tolist()):
        row = cdf[channel, : sizes[channel]].tolist()
        top = len(row) - 2
        for i in range(channel * plane_size, (channel + 1) * plane_size):
            value = bisect_right(row, decoder.state & 0xFFFF) - 1
            if not decoder.pop(row[value], row[value + 1] - row[value], SLOT_BITS):
                raise ValueError(f"payload ends within symbol {i} of {flat.size}")
            if value == top:
                value = _pop_outlier(decoder, top, f"symbol {i} of {flat.size}")
            flat[i] = value + offset
    if decoder.words:
        raise ValueError(f"payload goes on for {len(decoder.words)} words after the last symbol")
    if decoder.state != LOWER:
        raise ValueError("payload ends in a wrong state")
