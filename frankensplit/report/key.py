# SPDX-License-Identifier: Apache-2.0
"""The legend of codecs in the page itself: a piece of each curve as inline SVG, in the colour of the text around it."""

from __future__ import annotations

from dataclasses import dataclass

from frankensplit.evaluation import OURS
from frankensplit.report.codecs import FAMILIES, Family, Look, in_order, look_of

WIDTH, HEIGHT = 36, 12
_SHAPES = {  # around 0, 0, about 3 wide
    "s": "-2.6,-2.6 2.6,-2.6 2.6,2.6 -2.6,2.6",
    "d": "0,-3.6 2.2,0 0,3.6 -2.2,0",
    "D": "0,-5 5,0 0,5 -5,0",
    "^": "0,-3.4 3.2,2.6 -3.2,2.6",
    "v": "0,3.4 3.2,-2.6 -3.2,-2.6",
    "<": "-3.4,0 2.6,-3.2 2.6,3.2",
    ">": "3.4,0 -2.6,-3.2 -2.6,3.2",
    "p": "0,-3.4 3.2,-1 2,2.8 -2,2.8 -3.2,-1",
    "h": "0,-3.4 3,-1.7 3,1.7 0,3.4 -3,1.7 -3,-1.7",
    "8": "-1.3,-3.2 1.3,-3.2 3.2,-1.3 3.2,1.3 1.3,3.2 -1.3,3.2 -3.2,1.3 -3.2,-1.3",
}
_STROKES = {  # markers without an inside
    "1": "M0,0 V3.4 M0,0 L-3,-2 M0,0 L3,-2",
    "2": "M0,0 V-3.4 M0,0 L-3,2 M0,0 L3,2",
    "x": "M-2.6,-2.6 L2.6,2.6 M-2.6,2.6 L2.6,-2.6",
    "X": "M-2.8,-2.8 L2.8,2.8 M-2.8,2.8 L2.8,-2.8",
    "P": "M-3.2,0 H3.2 M0,-3.2 V3.2",
}


@dataclass(frozen=True)
class Item:
    """One codec of the legend; ``svg`` holds no text of a file."""

    look: Look
    svg: str
    ours: bool


def legend(codecs: list[str]) -> list[tuple[Family, list[Item]]]:
    """Return codecs by family."""
    ordered = in_order(codecs)
    groups = [
        (family, [codec for codec in ordered if look_of(codec).family is family]) for family in FAMILIES
    ]
    return [(family, [_item(codec) for codec in found]) for family, found in groups if found]


def _item(codec: str) -> Item:
    look = look_of(codec)
    thick = 3.0 if codec == OURS else 2.0 if look.main else 1.2
    dashes = " ".join(f"{thick * part:.1f}" for part in look.family.dashes)
    pattern = f' stroke-dasharray="{dashes}"' if dashes else ""
    middle = HEIGHT / 2
    svg = (
        f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true" focusable="false">'
        f'<path d="M0,{middle:g} H{WIDTH}" stroke="currentColor" stroke-width="{thick:g}" fill="none"{pattern}/>'
        f'<g transform="translate({WIDTH / 2:g},{middle:g})">{_marker(look.marker)}</g></svg>'
    )
    return Item(look, svg, codec == OURS)


def _marker(marker: str) -> str:
    if marker in _SHAPES:
        return f'<polygon points="{_SHAPES[marker]}" fill="currentColor"/>'
    if marker in _STROKES:
        return f'<path d="{_STROKES[marker]}" stroke="currentColor" stroke-width="1.4" fill="none"/>'
    return '<circle r="2.8" fill="currentColor"/>'
