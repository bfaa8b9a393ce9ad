# SPDX-License-Identifier: Apache-2.0
"""What sources of picture files share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from frankensplit.data.coco import ListedPicture
from frankensplit.data.pictures import PICTURE_SUFFIXES, turn_of
from frankensplit.data.truth import Boxes
from frankensplit.errors import DataError


def is_picture(path: Path) -> bool:
    return path.suffix[1:].lower() in PICTURE_SUFFIXES and path.name[0] != "." and path.is_file()


def pictures_below(path: Path) -> Iterator[Path]:
    """Yield the pictures in a folder and those below it; a file has none."""
    return filter(is_picture, path.rglob("*")) if path.is_dir() else iter(())


def unused(masks: Sequence[bool]) -> list[str]:
    """Return a note where some frames have a mask, but not the first."""
    if masks[0] or not any(masks):
        return []
    return [f"{sum(masks)} of {len(masks)} frames have a mask, but the first has none: no mask is used"]


def paired(
    name: str, mask: NDArray[np.uint8] | None, rgb: NDArray[np.uint8], data: bytes
) -> NDArray[np.uint8] | None:
    """Return a picture's mask as the picture is shown; ``data`` is the picture's file.

    A mask of the size that the picture has before it is turned is turned with it.
    """
    if mask is None or mask.shape == rgb.shape[:2]:
        return mask
    turn = turn_of(data)
    if turn.exchanged and mask.shape[::-1] == rgb.shape[:2]:
        return turn.pixels(mask)
    (height, width), (rows, columns) = rgb.shape[:2], mask.shape
    raise DataError(f"{name}: the mask is {columns}x{rows}, expected {width}x{height} as the picture")


def shown_boxes(
    picture: ListedPicture, listed: Path, name: str, rgb: NDArray[np.uint8], data: bytes
) -> Boxes:
    """Return a picture's boxes as it is shown; where just its stored size is declared, they are turned with it."""
    (height, width), turn = rgb.shape[:2], turn_of(data)
    if picture.size in (None, (height, width)):
        return Boxes.of(picture.boxes.corners, picture.boxes.class_ids, (height, width))
    if turn.exchanged and picture.size == (width, height):
        return turn.boxes(picture.boxes)
    rows, columns = picture.size
    raise DataError(f"{name} is {width}x{height}, expected {columns}x{rows} as {listed.name} says")
