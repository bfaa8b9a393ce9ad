# SPDX-License-Identifier: Apache-2.0
"""A contact sheet: one row a frame, with the frame, the map of each head and the mean of the maps over it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from frankensplit.inference.lettering import letters, write
from frankensplit.training.saliency.scaling import mean_map

Pixels = NDArray[np.uint8]

CELL_PX = 300  # width of a cell
GAP_PX = 8
CAPITAL_PX = 12
PAPER, INK = 255, (0, 0, 0)
COLOURS = cv2.COLORMAP_INFERNO
COVER = 0.65  # how much of a map's colour lies over the frame
FRAME, MEAN = "frame", "mean"


class MapsOfFrame(NamedTuple):
    """A frame, uint8 RGB ``(H, W, 3)``, and its maps ``(heads, h, w)``, of which ``extent`` cells cover it."""

    name: str
    rgb: Pixels
    maps: NDArray[np.float32]
    extent: tuple[float, float]


def draw_sheet(title: str, heads: Sequence[str], looks: Sequence[MapsOfFrame]) -> Pixels:
    """Return the sheet, uint8 RGB, with what the colours mean below the title."""
    names = [FRAME, *heads, *([MEAN] if len(heads) > 1 else [])]
    width = len(names) * (CELL_PX + GAP_PX) + GAP_PX
    parts = [_heading(title, width), _row([_title(name) for name in names])]
    parts += [_row(_cells(look, len(names) - 1)) for look in looks]
    parts.append(_paper(GAP_PX, width))
    return np.concatenate(parts)


def overlay(look: MapsOfFrame, values: NDArray[np.float32]) -> Pixels:
    """Return the frame in grey under the colours of a map ``(h, w)``, at the cell's size."""
    picture = _fit(look.rgb)
    height, width = picture.shape[:2]
    cells = height / look.extent[0], width / look.extent[1]  # pixels a cell
    grown = cv2.warpAffine(
        values,
        np.array([[cells[1], 0, cells[1] / 2 - 0.5], [0, cells[0], cells[0] / 2 - 0.5]]),
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return np.asarray(cv2.addWeighted(grey, 1 - COVER, _coloured(np.asarray(grown)), COVER, 0), np.uint8)


def _cells(look: MapsOfFrame, maps: int) -> list[Pixels]:
    shown = [*look.maps, mean_map(look.maps)][:maps]
    picture = _fit(look.rgb)
    write(picture, letters(look.name, CAPITAL_PX - 2), 5, 5, INK)  # a dark rim, so that it reads on any frame
    write(picture, letters(look.name, CAPITAL_PX - 2), 4, 4, (255, 255, 255))
    return [picture, *(overlay(look, values) for values in shown)]


def _fit(rgb: Pixels) -> Pixels:
    height = max(1, round(rgb.shape[0] * CELL_PX / rgb.shape[1]))
    return np.asarray(cv2.resize(rgb, (CELL_PX, height), interpolation=cv2.INTER_AREA), np.uint8)


def _coloured(values: NDArray[np.float32]) -> Pixels:
    levels = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(cv2.applyColorMap(levels, COLOURS), cv2.COLOR_BGR2RGB), np.uint8)


def _heading(title: str, width: int) -> Pixels:
    """Return the title, and at the right a bar of the colours from 0 to 1."""
    ink, zero, one = (letters(text, CAPITAL_PX) for text in (title, "0", "1"))
    heading = _paper(ink.shape[0] + 2 * GAP_PX, width)
    write(heading, ink, GAP_PX, GAP_PX, INK)
    bar = _coloured(np.linspace(0, 1, CELL_PX // 2, dtype=np.float32)[np.newaxis])
    left = width - GAP_PX - one.shape[1] - GAP_PX - bar.shape[1]
    heading[GAP_PX : GAP_PX + CAPITAL_PX, left : left + bar.shape[1]] = bar
    write(heading, zero, left - GAP_PX - zero.shape[1], GAP_PX, INK)
    write(heading, one, left + bar.shape[1] + GAP_PX, GAP_PX, INK)
    return heading


def _title(name: str) -> Pixels:
    ink = letters(name, CAPITAL_PX)
    cell = _paper(ink.shape[0], CELL_PX)
    write(cell, ink, 0, 0, INK)
    return cell


def _row(cells: Sequence[Pixels]) -> Pixels:
    row = _paper(cells[0].shape[0] + GAP_PX, len(cells) * (CELL_PX + GAP_PX) + GAP_PX)
    for column, cell in enumerate(cells):
        left = GAP_PX + column * (CELL_PX + GAP_PX)
        row[: cell.shape[0], left : left + CELL_PX] = cell
    return row


def _paper(height: int, width: int) -> Pixels:
    return np.full((height, width, 3), PAPER, np.uint8)
