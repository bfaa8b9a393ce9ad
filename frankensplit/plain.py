# SPDX-License-Identifier: Apache-2.0
"""Text that steers nothing: what files and messages of strangers say must not move a terminal's cursor or lie by it."""

from __future__ import annotations

import re

# What a terminal obeys (C0, C1), what ends a line beside the line feed, what reverses the order of letters, and lone
# surrogates, which cannot be written at all. Tab and line feed only lay text out.
_LAYOUT = "\t\n"
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: str) -> str:
    """Return a text with each character that steers written out, ESC as ``\\x1b``; all others stay."""
    return _STEERING.sub(lambda found: ascii(found.group())[1:-1], text)


def is_plain(text: str) -> bool:
    """Tell whether a text is one line without characters that steer: fit to be a name."""
    return not _STEERING.search(text) and not any(one in text for one in _LAYOUT)
