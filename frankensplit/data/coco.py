# SPDX-License-Identifier: Apache-2.0
"""Annotations of COCO's detection format: pictures with boxes of classes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from frankensplit.data.limits import MAX_ANNOTATION_BYTES, read_json, require_name
from frankensplit.data.names import natural
from frankensplit.data.truth import Boxes
from frankensplit.errors import DataError, one_line, shown
from frankensplit.geometry import MAX_SIDE

Read = TypeVar("Read")
Found = dict[str, list[tuple[list[float], int]]]  # corners and class of each box, by the picture's id

PATTERNS = ("annotations*.json", "instances_*.json", "_annotations.coco.json")
FOLDERS = ("annotations", "images")  # COCO's own folder of annotations; others put them beside the pictures
NEEDED = ("categories", "images", "annotations")


@dataclass(frozen=True)
class ListedPicture:
    """A picture of the list: its file's path below the set, its boxes, and height and width where they are declared.

    Class ids are places in the order of the categories' ids, which have gaps.
    """

    file_name: str
    boxes: Boxes
    size: tuple[int, int] | None


@dataclass(frozen=True)
class Annotations:
    """One annotation file: names of the classes, pictures in the file's order, and what of it is not used."""

    path: Path
    classes: list[str]
    pictures: list[ListedPicture]
    notes: list[str]

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
    """Read an annotation file; crowds are left out, and so is an entry that cannot be understood.

    Raises:
        DataError: it is not of the format, or none of its pictures or annotations can be understood.
    """
    content = _read(path)
    categories, bad = _understood(content["categories"], _category)
    names = dict(categories)
    classes = {known: place for place, known in enumerate(sorted(names, key=natural))}
    known_images: set[str] = set()
    images, bad_images = _understood(content["images"], lambda one: _image(one, known_images))
    boxes: Found = {known: [] for known, _ in images}

    def add(one: Any) -> str | None:
        return _add(one, classes, boxes)

    said, bad_annotations = _understood(content["annotations"], add)
    notes = []
    for what, listed, wrong in (
        ("categories", content["categories"], bad),
        ("images", content["images"], bad_images),
        ("annotations", content["annotations"], bad_annotations),
    ):
        if wrong and len(wrong) == len(listed):
            raise DataError(
                f"{path} is not of COCO's detection format: none of its {len(wrong)} {what} can be used; the first: "
                f"{wrong[0]}; see cocodataset.org"
            )
        if wrong:
            notes.append(f"{len(wrong)} of {len(listed)} {what} cannot be used; the first: {wrong[0]}")
    notes += [
        f"{count} annotations are not used: {why}" for why, count in Counter(filter(None, said)).items()
    ]
    listed_pictures = [_picture(one, boxes[known]) for known, one in images]
    outside = sum(map(len, boxes.values())) - sum(len(one.boxes.corners) for one in listed_pictures)
    if outside:
        notes.append(f"{outside} annotations are not used: boxes lie outside of their picture")
    return Annotations(path, [names[known] for known in classes], listed_pictures, notes)


def _read(path: Path) -> dict[str, Any]:
    content = read_json(path, MAX_ANNOTATION_BYTES)
    if not isinstance(content, dict) or any(not isinstance(content.get(key), list) for key in NEEDED):
        raise DataError(f"{path} is not of COCO's detection format: expected lists {', '.join(NEEDED)}")
    return content


class Fault(NamedTuple):
    """Which entry cannot be understood, and why."""

    text: str


def _understood(entries: list[Any], read: Callable[[Any], Read]) -> tuple[list[Read], list[str]]:
    """Return what ``read`` makes of each entry, and what is wrong with those of which it makes nothing."""
    tried = [_try(read, place, one) for place, one in enumerate(entries)]
    good = [one for one in tried if not isinstance(one, Fault)]
    return good, [one.text for one in tried if isinstance(one, Fault)]


def _try(read: Callable[[Any], Read], place: int, one: Any) -> Read | Fault:
    try:
        return read(one)
    except (LookupError, TypeError, ValueError, OverflowError, AttributeError) as err:
        known = one.get("id") if isinstance(one, dict) else None
        name = f"entry {place}" if known is None else f"id {shown(known)}"
        return Fault(f"{name}: {'no ' * isinstance(err, KeyError)}{one_line(str(err))}")


def _category(one: Any) -> tuple[str, str]:
    known = _id(one["id"])
    return known, str(one.get("name", known))


def _image(one: Any, before: set[str]) -> tuple[str, tuple[str, tuple[int, int] | None]]:
    known = _id(one["id"])
    if known in before:
        raise ValueError("another picture has the same id")
    sides = one.get("height"), one.get("width")
    size = None if None in sides else (int(sides[0]), int(sides[1]))
    name = str(one["file_name"]).replace("\\", "/")  # Windows separates folders by backslashes
    before.add(known)
    return known, (name, size if size and min(size) > 0 else None)


def _picture(one: tuple[str, tuple[int, int] | None], boxes: list[tuple[list[float], int]]) -> ListedPicture:
    name, size = one
    corners, class_ids = [corners for corners, _ in boxes], [class_id for _, class_id in boxes]
    return ListedPicture(name, Boxes.of(corners, class_ids, size or (MAX_SIDE, MAX_SIDE)), size)


def _id(value: Any) -> str:
    """Return an id as text, for some write numbers as text, or with a point."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int | float | str):
        raise ValueError(f"an id is {shown(value)}, expected a number or text")
    return str(value)


def _numbers(values: Any) -> list[float]:
    """Return a list of numbers, some of which may be text; an empty one where it is none."""
    try:
        return [float(value) for value in values]
    except (TypeError, ValueError):
        return []


def _add(one: Any, classes: dict[str, int], boxes: Found) -> str | None:
    """Add one annotation to its picture; return why it is not used though nothing is wrong with it."""
    if one.get("iscrowd"):
        return "crowds (iscrowd) are left out"
    image, category = _id(one["image_id"]), _id(one["category_id"])
    if image not in boxes or category not in classes:
        raise ValueError(f"of picture {one_line(image)} and category {one_line(category)}, not listed")
    bbox = _numbers(one["bbox"])
    if len(bbox) != 4 or not all(map(math.isfinite, bbox)):
        raise ValueError(f"bbox is {shown(one['bbox'])}, expected four numbers x, y, width, height")
    x, y, width, height = bbox
    if min(width, height) <= 0:
        return "boxes have no area"
    boxes[image].append(([x, y, x + width, y + height], classes[category]))
    return None
