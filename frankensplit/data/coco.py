# SPDX-License-Identifier: Apache-2.0
"""Annotations of COCO's detection format: pictures with boxes of classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frankensplit.data.limits import MAX_ANNOTATION_BYTES, read_json, require_name
from frankensplit.data.truth import Boxes
from frankensplit.errors import DataError, shown

PATTERNS = ("annotations*.json", "instances_*.json", "_annotations.coco.json")
FOLDERS = ("annotations", "images")  # where COCO itself keeps them, and where others keep the pictures
NEEDED = ("categories", "images", "annotations")


@dataclass(frozen=True)
class Picture:
    """A picture of the list: its file's path below the set, and its boxes in the size that is declared.

    Class ids are places in the order of the categories' ids, which have gaps.
    """

    file_name: str
    boxes: Boxes


@dataclass(frozen=True)
class Annotations:
    """One annotation file: the names of the classes, and the pictures in the file's order."""

    path: Path
    classes: list[str]
    pictures: list[Picture]

    def picture_path(self, file_name: str) -> Path:
        """Return where a picture lies: beside the annotations, above them, or in a folder there.

        That folder is ``images``, or is named after the split as COCO's own are: ``instances_val2017.json`` is about
        ``val2017/``. It may be a link to where the pictures are; the names in the file never lead out of it.

        Raises:
            DataError: the name is absolute, has ``..``, or is a link to elsewhere.
        """
        require_name(file_name, "file_name")
        split = self.path.stem.partition("_")[2]
        roots = (
            (self.path.parent, self.path.parent.parent)
            if self.path.parent.name in FOLDERS
            else (self.path.parent,)
        )
        folders = [root / inner for root in roots for inner in ("", "images", split)]
        folder = next((one for one in folders if (one / file_name).is_file()), folders[0])
        place = folder / file_name
        allowed = [one.resolve() for one in folders]
        if not any(place.resolve().is_relative_to(one) for one in allowed):
            raise DataError(
                f"file_name {shown(file_name)} is a link that leaves the set: copy the picture there"
            )
        return place


def find_annotations(folder: Path) -> list[Path]:
    """Return the annotation files of a folder, or of its ``annotations/``."""
    return sorted({path for at in (folder, folder / FOLDERS[0]) for one in PATTERNS for path in at.glob(one)})


def read_annotations(path: Path) -> Annotations:
    """Read an annotation file; crowds are left out, and boxes without an area.

    Raises:
        DataError: it is not of the format, or a box is of a picture or class that it does not list.
    """
    content = _read(path)
    try:
        categories = sorted(content["categories"], key=lambda one: int(one["id"]))
        classes = {int(one["id"]): place for place, one in enumerate(categories)}
        boxes: dict[int, list[tuple[list[float], int]]] = {int(one["id"]): [] for one in content["images"]}
        for one in content["annotations"]:
            _add(path, one, classes, boxes)
        pictures = [_picture(one, boxes[int(one["id"])]) for one in content["images"]]
        return Annotations(path, [str(one["name"]) for one in categories], pictures)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as err:
        raise DataError(
            f"{path} is not of COCO's detection format ({type(err).__name__}: {shown(str(err))}): see cocodataset.org"
        ) from err


def _read(path: Path) -> dict[str, Any]:
    content = read_json(path, MAX_ANNOTATION_BYTES)
    if not isinstance(content, dict) or any(not isinstance(content.get(key), list) for key in NEEDED):
        raise DataError(f"{path} is not of COCO's detection format: expected lists {', '.join(NEEDED)}")
    return content


def _add(
    path: Path, one: dict[str, Any], classes: dict[int, int], boxes: dict[int, list[tuple[list[float], int]]]
) -> None:
    """Add one annotation to the boxes of its picture."""
    if one.get("iscrowd"):
        return
    image, category = int(one["image_id"]), int(one["category_id"])
    if image not in boxes or category not in classes:
        raise DataError(
            f"{path}: annotation {shown(one.get('id'))} is of picture {image} and category {category}, not listed"
        )
    x, y, width, height = (float(value) for value in one["bbox"])
    if not all(math.isfinite(value) for value in (x, y, width, height)):
        raise ValueError(f"bbox {one['bbox']} of annotation {one.get('id')}")
    boxes[image].append(([x, y, x + width, y + height], classes[category]))


def _picture(one: dict[str, Any], boxes: Sequence[tuple[list[float], int]]) -> Picture:
    size = int(one["height"]), int(one["width"])
    corners, class_ids = [corners for corners, _ in boxes], [class_id for _, class_id in boxes]
    return Picture(str(one["file_name"]), Boxes.of(corners, class_ids, size))
