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

**Contexts.** The tables of a context-coded latent are shared by all channels, and each symbol chooses one. With
``m = min(abs(symbol), 15)``, and 0 for symbols outside the plane:

* ``near`` of a symbol is ``2 * m(left) + 2 * m(above) + m(above left) + m(above right)`` in its own channel;
* ``activity`` is ``2 * e(here) + e(left) + e(right) + e(above) + e(below)``, where ``e`` is at each place the sum of
  ``m`` over all earlier channels;
* its class is the number of ``near_limits`` not above ``near``, times one more than the activity limits of a channel,
  plus the number of its channel's ``activity_limits`` not above ``activity``;
* its table is ``map[channel, class]``.

All of this is known before the symbol is decoded. Order, items and bytes are as above.
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
MAX_MAGNITUDE = 15
NEARS = 6 * MAX_MAGNITUDE + 1
MAX_CLASSES = 256
MAX_SHARED = 16

Ints = NDArray[np.int32]
Bytes = NDArray[np.uint8]


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


class _Row:
    """A row of the tables: ``edges`` of its slots, the last slot ``top``, and the symbol of its first."""

    def __init__(self, cdf: Ints, size: int, offset: int) -> None:
        self.edges, self.top, self.offset = cdf[:size].tolist(), size - 2, offset

    def push(self, encoder: _Encoder, symbol: int, channel: int) -> None:
        value = slot = symbol - self.offset
        if not 0 <= value < self.top:
            if not -OUTLIER_LIMIT <= value < self.top + OUTLIER_LIMIT:
                low, high = self.offset - OUTLIER_LIMIT, self.offset + self.top + OUTLIER_LIMIT - 1
                raise ValueError(f"symbol {symbol} of channel {channel} is not in {low} to {high}")
            for digit in reversed(_outlier_digits(value, self.top)):
                encoder.push(digit, 1, DIGIT_BITS)
            slot = self.top
        encoder.push(self.edges[slot], self.edges[slot + 1] - self.edges[slot], SLOT_BITS)

    def pop(self, decoder: _Decoder, place: str) -> int:
        value = bisect_right(self.edges, decoder.state & 0xFFFF) - 1
        if not decoder.pop(self.edges[value], self.edges[value + 1] - self.edges[value], SLOT_BITS):
            raise ValueError(f"payload ends within {place}")
        return (_pop_outlier(decoder, self.top, place) if value == self.top else value) + self.offset


def _rows(cdf: Ints, sizes: Ints, offsets: Ints) -> list[_Row]:
    return [_Row(*row) for row in zip(cdf, sizes.tolist(), offsets.tolist(), strict=True)]


def _check_end(decoder: _Decoder) -> None:
    if decoder.words:
        raise ValueError(f"payload goes on for {len(decoder.words)} words after the last symbol")
    if decoder.state != LOWER:
        raise ValueError("payload ends in a wrong state")


def encode(symbols: Ints, cdf: Ints, sizes: Ints, offsets: Ints) -> bytes:
    """Encode ``symbols`` (C, H, W), one row of valid tables a channel; ValueError if one is out of range."""
    encoder = _Encoder()
    for channel, row in reversed(list(enumerate(_rows(cdf, sizes, offsets)))):
        for symbol in reversed(symbols[channel].ravel().tolist()):
            row.push(encoder, symbol, channel)
    return encoder.finish()


def decode(payload: bytes, symbols: Ints, cdf: Ints, sizes: Ints, offsets: Ints) -> None:
    """Fill ``symbols`` (C, H, W) from ``payload``; ValueError if no encoder made it with these tables."""
    decoder = _Decoder(payload)
    flat, plane_size = symbols.reshape(-1), symbols.size // len(sizes)
    for channel, row in enumerate(_rows(cdf, sizes, offsets)):
        for i in range(channel * plane_size, (channel + 1) * plane_size):
            flat[i] = row.pop(decoder, f"symbol {i} of {flat.size}")
    _check_end(decoder)


class _Scene:
    """Magnitudes of the present channel and activity of the earlier ones, each with a border of zeros."""

    def __init__(
        self, height: int, width: int, map_: Bytes, near_limits: Ints, activity_limits: Ints
    ) -> None:
        self.magnitudes = np.zeros((height + 2, width + 2), np.int64)
        self.activity = np.zeros((height + 2, width + 2), np.int64)
        self.map, self.near_limits, self.activity_limits = map_, near_limits, activity_limits

    def table(self, channel: int, y: int, x: int) -> int:
        """Choose the table of the symbol at (y, x), counted from 1, by the symbols before it only."""
        m, e = self.magnitudes, self.activity
        near = 2 * m[y, x - 1] + 2 * m[y - 1, x] + m[y - 1, x - 1] + m[y - 1, x + 1]
        activity = 2 * e[y, x] + e[y, x - 1] + e[y, x + 1] + e[y - 1, x] + e[y + 1, x]
        limits = self.activity_limits[channel]
        near_class = int((self.near_limits <= near).sum())
        return int(self.map[channel, near_class * (len(limits) + 1) + int((limits <= activity).sum())])

    def end_channel(self) -> None:
        self.activity += self.magnitudes
        self.magnitudes[:] = 0


def encode_in_context(
    symbols: Ints,
    shape: tuple[int, int, int],
    cdf: Ints,
    sizes: Ints,
    offsets: Ints,
    map_: Bytes,
    near_limits: Ints,
    activity_limits: Ints,
) -> bytes:
    """Encode ``symbols`` of ``shape`` with shared tables; ValueError if one is out of range."""
    channels, height, width = shape
    rows, chosen = _rows(cdf, sizes, offsets), []
    scene = _Scene(height, width, map_, near_limits, activity_limits)
    for channel in range(channels):
        scene.magnitudes[1:-1, 1:-1] = np.minimum(np.abs(symbols[channel].astype(np.int64)), MAX_MAGNITUDE)
        chosen += [scene.table(channel, y + 1, x + 1) for y in range(height) for x in range(width)]
        scene.end_channel()
    encoder = _Encoder()
    for i, (symbol, table) in reversed(list(enumerate(zip(symbols.ravel().tolist(), chosen, strict=True)))):
        rows[table].push(encoder, symbol, i // (height * width))
    return encoder.finish()


def decode_in_context(
    payload: bytes,
    symbols: Ints,
    shape: tuple[int, int, int],
    cdf: Ints,
    sizes: Ints,
    offsets: Ints,
    map_: Bytes,
    near_limits: Ints,
    activity_limits: Ints,
) -> None:
    """Fill ``symbols`` of ``shape`` from ``payload``; ValueError if no encoder made it with these contexts."""
    decoder, rows = _Decoder(payload), _rows(cdf, sizes, offsets)
    channels, height, width = shape
    scene = _Scene(height, width, map_, near_limits, activity_limits)
    for channel in range(channels):
        for y, x in np.ndindex(height, width):
            place = f"symbol {(channel * height + y) * width + x} of {symbols.size}"
            symbol = rows[scene.table(channel, y + 1, x + 1)].pop(decoder, place)
            symbols[channel, y, x] = symbol
            scene.magnitudes[y + 1, x + 1] = min(abs(symbol), MAX_MAGNITUDE)
        scene.end_channel()
    _check_end(decoder)


def cost(symbols: Ints, slot_costs: Ints, sizes: Ints, offsets: Ints) -> int:
    """Add up what the slots of ``symbols`` (C, H, W) cost."""
    value = symbols.reshape(len(sizes), -1).astype(np.int64) - offsets[:, None]
    top = sizes[:, None] - 2
    slots = np.where((value >= 0) & (value < top), value, top)
    return int(np.take_along_axis(slot_costs.astype(np.int64), slots, axis=1).sum())
