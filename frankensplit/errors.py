# SPDX-License-Identifier: Apache-2.0
"""Typed errors: each text names the bad value, the expected one and the next step."""

from __future__ import annotations

MAX_SHOWN = 100  # characters of one value from outside in a message: a name, a format, an encoding
MAX_TEXT = 4000  # characters of a whole message: a dozen lines of a log, and no flood at one a second


def shown(value: object, limit: int = MAX_SHOWN) -> str:
    """Return what came from outside as it may stand in a message: as ``repr``, but on one line, visible and cut.

    The end of a long value is kept as well as its beginning, and how much is between them is said.
    """
    return f"'{one_line(value, limit)}'" if isinstance(value, str) else one_line(repr(value), limit)


def one_line(text: str, limit: int = MAX_SHOWN) -> str:
    """Return a name from outside as it may stand in a list or a table: as by ``shown``, without quotes."""
    return "".join(map(_visible, _cut(text, limit)))


def bounded(text: str, limit: int = MAX_TEXT) -> str:
    """Return a message as it may go to a log, a terminal or /diagnostics: cut as by ``shown``, lines kept."""
    return "".join(letter if letter in "\n\t" else _visible(letter) for letter in _cut(text, limit))


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    end = limit // 4
    return f"{text[: limit - end]}... {len(text) - limit} characters more ...{text[-end:]}"


def _visible(letter: str) -> str:
    """Return a character, or its escape where it would move the cursor, turn the text or not be UTF-8."""
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")


class FrankensplitError(Exception):
    """Base of every error that bad input can cause; anything else is a bug.

    Its text is bounded whatever a message holds, so no caller that logs or prints it needs to think of that.
    """

    def __str__(self) -> str:
        """Return the text, bounded."""
        return bounded(super().__str__())


class PacketError(FrankensplitError):
    """A packet is damaged, foreign, or of an unknown format."""


class SymbolError(FrankensplitError):
    """A latent cannot be coded: not finite, out of range, or of the wrong shape."""


class TablesError(FrankensplitError):
    """Integer entropy tables break the rules of the coder."""


class ImageError(FrankensplitError):
    """A camera image cannot be understood."""


class BundleError(FrankensplitError):
    """A bundle or codec folder is incomplete, changed, or of an unknown format."""


class DataError(FrankensplitError):
    """A data set, shard, clip or bag cannot be read."""


class RecipeError(FrankensplitError):
    """A training recipe has an unknown key or a value out of range."""


class ParameterError(FrankensplitError, ValueError):
    """A node's parameter has a value of another type, out of its range, or against one of its rules."""


class RuntimeUnavailable(FrankensplitError):
    """An inference runtime was asked for that this machine does not have."""


class OutputError(FrankensplitError):
    """A result cannot be written: something else is in its place, or the disk is full or may not be written."""
