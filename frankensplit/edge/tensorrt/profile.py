# SPDX-License-Identifier: Apache-2.0
"""The frame sizes that an engine is built for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from frankensplit.errors import ImageError
from frankensplit.geometry import MULTIPLE

LARGEST_SIDE = 8192
BUILD = "frankensplit export BUNDLE --tensorrt"


@dataclass(frozen=True)
class Profile:
    """All frames up to ``height`` x ``width``, or with ``fixed`` only those of that size.

    Raises:
        ImageError: a side is not a multiple of 32, or too large.
    """

    height: int
    width: int
    fixed: bool = False

    def __post_init__(self) -> None:
        for side in (self.height, self.width):
            if side % MULTIPLE or not MULTIPLE <= side <= LARGEST_SIDE:
                raise ImageError(
                    f"engine for frames of {self.width}x{self.height}, expected sides in multiples of {MULTIPLE} "
                    f"from {MULTIPLE} to {LARGEST_SIDE}"
                )

    def __str__(self) -> str:
        """The part of an engine's file name that says what it is for."""
        return f"{self.width}x{self.height}" + ("-fixed" if self.fixed else "")

    @classmethod
    def parse(cls, text: str) -> Profile | None:
        """Return what ``str`` gave, or None if it is something else."""
        match = re.fullmatch(r"([1-9]\d{1,3})x([1-9]\d{1,3})(-fixed)?", text)
        try:
            return cls(int(match[2]), int(match[1]), bool(match[3])) if match else None
        except ImageError:
            return None

    @property
    def smallest(self) -> tuple[int, int]:
        """Height and width of the smallest frame."""
        return (self.height, self.width) if self.fixed else (MULTIPLE, MULTIPLE)

    def covers(self, height: int, width: int) -> bool:
        """Say whether a frame of this size fits."""
        if self.fixed:
            return (height, width) == (self.height, self.width)
        return height <= self.height and width <= self.width

    def check(self, height: int, width: int) -> None:
        """Refuse a frame that does not fit; raises ImageError that says how to build what fits."""
        if height % MULTIPLE or width % MULTIPLE:
            raise ImageError(f"frame of {width}x{height}, expected sides in multiples of {MULTIPLE}")
        if not self.covers(height, width):
            sizes = (
                f"of {self.width}x{self.height} only" if self.fixed else f"up to {self.width}x{self.height}"
            )
            raise ImageError(
                f"frame of {width}x{height}, this engine takes frames {sizes}: build one with "
                f"`{BUILD} --size {max(width, self.width)}x{max(height, self.height)}`"
            )


def best(profiles: list[Profile], largest: tuple[int, int] | None) -> Profile | None:
    """Return which of the built engines to use for frames up to ``largest``, None if none will do.

    The smallest that takes every such frame; one of fixed size only if no other does, and only for that size. Where
    nothing is known of the frames, the largest.
    """
    if largest is None:
        return max(profiles, key=lambda one: (not one.fixed, one.height * one.width), default=None)
    fitting = [one for one in profiles if one.covers(*largest)]
    return min(fitting, key=lambda one: (one.fixed, one.height * one.width), default=None)
