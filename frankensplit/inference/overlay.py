# SPDX-License-Identifier: Apache-2.0
"""Draw what the heads found into the camera's picture."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from frankensplit.errors import ImageError
from frankensplit.inference.lettering import Colour, ink_on, letters, write
from frankensplit.results import BoxesResult, ClassesResult, MaskResult, Result

TINT = 0.45  # how much of a class's colour covers its pixels
BORDER = 0.9  # ... and those on its border
STRIP = 0.65  # how dark the strip under the list of classes is
LIKELIEST = 3  # classes that exclude one another, of which one is in the picture
_ORDER = (MaskResult, BoxesResult, ClassesResult)  # later ones lie on top
NO_COLOUR: Colour = (200, 200, 200)

Labels = Mapping[str, Mapping[str, Any]]
Pixels = NDArray[np.uint8]


def draw_overlay(rgb: Pixels, results: Mapping[str, Result], labels: Labels) -> Pixels:
    """Draw masks as tinted regions, boxes with class and score, and classes as a list at the bottom.

    Args:
        rgb: uint8 ``(H, W, 3)``; not changed.
        results: by head, in pixels of ``rgb``.
        labels: by head: ``classes``, names by index; ``colors``, RGB by index (hues around the circle without);
            ``ignore``, an index that is not tinted.

    Returns:
        A new uint8 ``(H, W, 3)``.

    Raises:
        ImageError: ``rgb`` is not an RGB image, or a mask has another size.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ImageError(f"overlay got {rgb.dtype} of shape {rgb.shape}, expected uint8 (height, width, 3)")
    picture: Pixels = rgb.copy()
    bottom = picture.shape[0]  # bottom row of the next list of classes; lists are stacked upwards
    for head, result in sorted(results.items(), key=lambda item: (_ORDER.index(type(item[1])), item[0])):
        if isinstance(result, MaskResult):
            _draw_mask(picture, result, head, labels)
        elif isinstance(result, BoxesResult):
            _draw_boxes(picture, result, head, labels)
        else:
            bottom = _draw_classes(picture, result, head, labels, bottom)
    return picture


def colours_of(labels: Mapping[str, Any]) -> list[Colour]:
    """Return an RGB colour for each class: the labels' own, or hues around the circle."""
    names = labels["classes"]
    given = labels.get("colors")
    if given:
        return [(int(r), int(g), int(b)) for r, g, b in given]
    hues = (colorsys.hsv_to_rgb(i / len(names), 0.75, 0.95) for i in range(len(names)))
    return [(round(255 * r), round(255 * g), round(255 * b)) for r, g, b in hues]


def paint_mask(mask: NDArray[np.uint8], labels: Mapping[str, Any]) -> Pixels:
    """Give each pixel its class's colour.

    Args:
        mask: class indices, uint8 ``(H, W)``.
        labels: of the head, as ``draw_overlay`` takes them.

    Returns:
        A new uint8 ``(H, W, 3)``, RGB; black where the index is not a class, or is ``ignore``.
    """
    table = np.zeros((256, 3), np.uint8)
    colours = colours_of(labels)
    table[: len(colours)] = colours
    if labels.get("ignore") is not None:
        table[labels["ignore"]] = 0
    painted: Pixels = np.asarray(cv2.LUT(cv2.merge([mask, mask, mask]), table[np.newaxis]), np.uint8)
    return painted


def _capital_px(picture: Pixels) -> int:
    """Height of capitals: legible at 480x360, in proportion above."""
    return max(7, round(int(min(picture.shape[:2])) / 42))


def _draw_mask(picture: Pixels, result: MaskResult, head: str, labels: Labels) -> None:
    mask = result.mask
    if mask.shape != picture.shape[:2]:
        raise ImageError(f"mask of {head!r} has shape {mask.shape}, the picture is {picture.shape[:2]}")
    known = labels[head]
    paint = paint_mask(mask, known)
    tinted = cv2.addWeighted(picture, 1 - TINT, paint, TINT, 0)
    drawn = np.less(mask, len(known["classes"])) & np.not_equal(mask, known.get("ignore", -1))
    cv2.copyTo(tinted, drawn.view(np.uint8), picture)
    borders = (_borders(mask) & drawn).view(np.uint8)
    cv2.copyTo(cv2.addWeighted(picture, 1 - BORDER, _lighter(paint), BORDER, 0), borders, picture)


def _borders(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Mark the pixels whose right or lower neighbour is of another class: lines one pixel wide."""
    border = np.zeros(mask.shape, np.bool_)
    border[:, :-1] = mask[:, :-1] != mask[:, 1:]
    border[:-1] |= mask[:-1] != mask[1:]
    return border


def _lighter(paint: Any) -> Any:
    return cv2.addWeighted(paint, 0.6, np.full_like(paint, 255), 0.4, 0)


def _draw_boxes(picture: Pixels, result: BoxesResult, head: str, labels: Labels) -> None:
    """Draw the surest box last, so that it is never hidden."""
    names, colours = labels[head]["classes"], colours_of(labels[head])
    for index in np.argsort(result.scores, kind="stable"):
        class_id = int(result.class_ids[index])
        x0, y0, x1, y1 = (round(float(v)) for v in result.boxes[index])
        _frame(picture, (x0, y0, x1 - 1, y1 - 1), colours[class_id])
        text = f"{names[class_id]} {result.scores[index]:.2f}"
        _tag(picture, letters(text, _capital_px(picture)), x0, y0, colours[class_id])


def _frame(picture: Pixels, box: tuple[int, int, int, int], colour: Colour) -> None:
    line = max(1, round(min(picture.shape[:2]) / 240))
    cv2.rectangle(picture, box[:2], box[2:], (0, 0, 0), line + 2)
    cv2.rectangle(picture, box[:2], box[2:], colour, line)


def _tag(picture: Pixels, ink: NDArray[np.float32], x: int, y: int, colour: Colour) -> None:
    """Write on a filled tag that sits on top of ``y``, moved as far as the picture's edges ask."""
    margin = max(2, ink.shape[0] // 5)
    height, width = ink.shape[0] + margin, ink.shape[1] + 2 * margin
    x = max(0, min(x, picture.shape[1] - width))
    y = max(0, min(y - height, picture.shape[0] - height))
    picture[y : y + height, x : x + width] = colour
    write(picture, ink, x + margin, y + margin // 2, ink_on(colour))


def _draw_classes(picture: Pixels, result: ClassesResult, head: str, labels: Labels, bottom: int) -> int:
    """List the present classes, surest first, each with its colour, on a dark strip as high as they need.

    Of classes that exclude one another, the likeliest are listed with their scores. The strip ends above the row
    ``bottom``; its first row is returned.
    """
    names = labels[head]["classes"]
    order = [int(i) for i in np.argsort(-result.scores, kind="stable")]
    if labels[head].get("exclusive"):
        present = {f"{names[i]} {result.scores[i]:.2f}": names[i] for i in order[:LIKELIEST]}
    else:
        present = {names[i]: names[i] for i in order if result.scores[i] >= result.threshold}
    if not present:
        return bottom
    colours = _colours_by_name(labels)
    inks = {text: letters(text, _capital_px(picture)) for text in present}
    line_px = next(iter(inks.values())).shape[0] + 4
    places, lines = _flow([ink.shape[1] + 2 * line_px for ink in inks.values()], picture.shape[1] - line_px)
    top: int = max(0, bottom - lines * line_px - 4)
    picture[top:bottom] = np.rint(picture[top:bottom] * (1 - STRIP))
    for (text, ink), (x, line) in zip(inks.items(), places, strict=True):
        left, upper = x + line_px // 2, top + line * line_px + 2
        side = line_px - 8
        cv2.rectangle(
            picture,
            (left, upper + 4),
            (left + side, upper + 4 + side),
            colours.get(present[text], NO_COLOUR),
            cv2.FILLED,
        )
        write(picture, ink, left + side + 5, upper + 2, (255, 255, 255))
    return top


def _flow(widths: list[int], room: int) -> tuple[list[tuple[int, int]], int]:
    """Place items of these widths from left to right in lines of ``room`` pixels: (x, line) each, and the lines."""
    places, x, line = [], 0, 0
    for width in widths:
        if x and x + width > room:
            x, line = 0, line + 1
        places.append((x, line))
        x += width
    return places, line + 1


def _colours_by_name(labels: Labels) -> dict[str, Colour]:
    """Find the colour that some head's labels give a class of this name."""
    coloured = [known for known in labels.values() if known.get("colors")]
    return {
        name: colour
        for known in coloured
        for name, colour in zip(known["classes"], colours_of(known), strict=False)
    }
