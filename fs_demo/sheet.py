# SPDX-License-Identifier: Apache-2.0
"""Compose pictures: camera beside prediction, and the contact sheet with truth and legend. No ROS import."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from frankensplit.inference.lettering import Colour, letters, write
from frankensplit.inference.overlay import colours_of

Pixels = NDArray[np.uint8]
PAPER: Colour = (20, 22, 26)
INK: Colour = (236, 238, 240)
FAINT: Colour = (150, 156, 162)
GAP = 14
CAPITAL_PX = 13


@dataclass(frozen=True)
class SheetRow:
    """One frame of the sheet: pictures of one size, left to right, and a caption."""

    pictures: tuple[Pixels, ...]
    caption: str


def side_by_side(camera: Pixels, overlay: Pixels, caption: str) -> Pixels:
    """Put camera and prediction beside each other over a line of text; the size depends on theirs alone."""
    band = _blank(30, camera.shape[1] + overlay.shape[1])
    write(band, letters(caption, 11), 10, 7, INK)
    return np.vstack([np.hstack([camera, overlay]), band])


def contact_sheet(
    title: str,
    subtitles: Sequence[str],
    headings: Sequence[str],
    rows: Sequence[SheetRow],
    legend: Mapping[str, Colour],
) -> Pixels:
    """Lay out rows of pictures below headings, with a title above and the colours of the classes below.

    Pictures are fitted into the size of the first; a row with fewer pictures than headings is padded. Long lines are
    wrapped.
    """
    height, width = rows[0].pictures[0].shape[:2]
    columns = len(headings)
    total = columns * width + (columns + 1) * GAP
    parts = [*_wrapped(title, 20, total, INK)]
    for one in subtitles:
        parts += _wrapped(one, CAPITAL_PX, total, FAINT)
    parts.append(_headings(headings, width, total))
    for row in rows:
        parts += [_pictures(row.pictures, (height, width), total), *_wrapped(row.caption, 11, total, FAINT)]
    return np.vstack([*parts, _legend(legend, total), _blank(GAP, total)])


def legend_of(labels: Mapping[str, Mapping[str, Any]]) -> dict[str, Colour]:
    """Return the colour of each class of the first head whose labels have colours of their own."""
    coloured = [known for known in labels.values() if known.get("colors")]
    return dict(zip(coloured[0]["classes"], colours_of(coloured[0]), strict=True)) if coloured else {}


class Chosen:
    """At most ``2 * wanted`` items spread evenly over a stream of unknown length."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self._items: list[Any] = []
        self._seen, self._every = 0, 1

    def wants_next(self) -> bool:
        """Tell whether the next item offered would be kept."""
        return self._seen % self._every == 0

    def offer(self, item: Any) -> None:
        """Take the next item; call once an item, with None for one that is not wanted."""
        if self.wants_next():
            self._items.append(item)
        self._seen += 1
        if len(self._items) > 2 * self.wanted:
            self._items, self._every = self._items[::2], self._every * 2

    def items(self) -> list[Any]:
        """Return ``wanted`` of the items, evenly spread, or all that there are."""
        if len(self._items) <= self.wanted:
            return self._items
        picked = np.linspace(0, len(self._items) - 1, self.wanted).round().astype(int)
        return [self._items[index] for index in picked]


def _blank(height: int, width: int) -> Pixels:
    return np.full((height, width, 3), PAPER, np.uint8)


def _text(text: str, capital_px: int, width: int, colour: Colour) -> Pixels:
    band = _blank(2 * capital_px + 10, width)
    write(band, letters(text, capital_px), GAP, 6, colour)
    return band


def fitted(picture: Pixels, size: tuple[int, int]) -> Pixels:
    """Return a picture scaled into a height and width, with margins where its shape is another."""
    height, width = size
    if picture.shape[:2] == size:
        return picture
    share = min(height / picture.shape[0], width / picture.shape[1])
    rows, columns = (max(1, round(side * share)) for side in picture.shape[:2])
    how = cv2.INTER_AREA if share < 1 else cv2.INTER_LINEAR
    canvas, top, left = _blank(height, width), (height - rows) // 2, (width - columns) // 2
    canvas[top : top + rows, left : left + columns] = cv2.resize(picture, (columns, rows), interpolation=how)
    return canvas


def _wrapped(text: str, capital_px: int, width: int, colour: Colour) -> list[Pixels]:
    """Return a band for each line of a text; a word that is too long, such as a path, is cut."""
    lines = [""]
    for word in re.findall(r"\S+\s*", text):
        if lines[-1] and not _fits(lines[-1] + word.rstrip(), capital_px, width):
            lines.append("")
        for letter in word:
            if lines[-1] and not _fits(lines[-1] + letter, capital_px, width) and letter != " ":
                lines.append("")
            lines[-1] += letter
    return [_text(line.rstrip(), capital_px, width, colour) for line in lines]


def _fits(text: str, capital_px: int, width: int) -> bool:
    return letters(text, capital_px).shape[1] + 2 * GAP <= width


def _headings(headings: Sequence[str], width: int, total: int) -> Pixels:
    band = _blank(2 * CAPITAL_PX + 4, total)
    for column, heading in enumerate(headings):
        write(band, letters(heading, CAPITAL_PX), GAP + column * (width + GAP), 6, INK)
    return band


def _pictures(pictures: Sequence[Pixels], size: tuple[int, int], total: int) -> Pixels:
    height, width = size
    band = _blank(height, total)
    for column, picture in enumerate(pictures):
        left = GAP + column * (width + GAP)
        band[:, left : left + width] = fitted(picture, size)
    return band


def _legend(legend: Mapping[str, Colour], total: int) -> Pixels:
    rows: list[Pixels] = []
    band, x = _blank(30, total), GAP
    for name, colour in legend.items():
        ink = letters(name, CAPITAL_PX)
        if x + 26 + ink.shape[1] + GAP > total:
            rows.append(band)
            band, x = _blank(30, total), GAP
        cv2.rectangle(band, (x, 6), (x + 17, 23), colour, cv2.FILLED)
        write(band, ink, x + 25, 7, INK)
        x += 25 + ink.shape[1] + 22
    return np.vstack([*rows, band])
