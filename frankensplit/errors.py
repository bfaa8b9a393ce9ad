# SPDX-License-Identifier: Apache-2.0
"""Typed errors: each text names the bad value, the expected one and the next step."""

from __future__ import annotations

from frankensplit.plain import plain


class FrankensplitError(Exception):
    """Base of every error that bad input can cause; anything else is a bug.

    Its text quotes bad input, so what would steer the terminal that shows it is written out.
    """

    def __str__(self) -> str:
        return plain(super().__str__())


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


class RuntimeUnavailable(FrankensplitError):
    """An inference runtime was asked for that this machine does not have."""


class OutputError(FrankensplitError):
    """A result cannot be written: something else is in its place, or the disk is full or may not be written."""
