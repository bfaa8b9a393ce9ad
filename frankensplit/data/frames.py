# SPDX-License-Identifier: Apache-2.0
"""Frames to measure on, from any finite source, with the truth in the class indices of a bundle's head."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from frankensplit.data.labels import UNLABELLED, list_names, map_mask, mask_table, match_names
from frankensplit.data.sources import (
    DEFAULT_FPS,
    STREET,
    Skipped,
    Source,
    SourceFrame,
    is_camera,
    nothing_left,
    open_source,
)
from frankensplit.data.sources.folder import FolderSource
from frankensplit.data.sources.shard import ShardSource
from frankensplit.data.sources.street import STREET_FRAMES, StreetSplit
from frankensplit.data.truth import Boxes, Truth, TruthKind
from frankensplit.errors import DataError


@dataclass(frozen=True)
class LabelledFrame:
    """One frame: uint8 RGB ``(H, W, 3)`` and its truth in the bundle's indices.

    The mask is uint8 ``(H, W)``; mask, label and boxes are None where the set's truth is of another kind or none.
    """

    key: str
    rgb: NDArray[np.uint8]
    mask: NDArray[np.uint8] | None
    label: int | None
    stamp_ns: int
    boxes: Boxes | None = None

    @property
    def truth(self) -> Truth:
        """What is known of the frame."""
        return Truth(self.mask, self.boxes, self.label)


@dataclass(frozen=True)
class TruthRule:
    """What a set's truth is to a bundle: its kind, and the bundle's index for each of the set's values."""

    kind: TruthKind | None
    masks: NDArray[np.int16] | None = None
    indices: Sequence[int | None] | None = None  # new class indices of boxes and frames; None: unchanged

    def apply(self, frame: SourceFrame) -> LabelledFrame:
        """Return the frame with the bundle's truth; raises DataError where it has none or an unknown one."""
        mask = self._mask(frame) if self.kind == "mask" else None
        label = self._label(frame) if self.kind == "label" else None
        boxes = self._boxes(frame) if self.kind == "boxes" else None
        return LabelledFrame(frame.name, frame.rgb, mask, label, frame.stamp_ns, boxes)

    def _mask(self, frame: SourceFrame) -> NDArray[np.uint8]:
        if frame.mask is None:
            raise DataError(f"{frame.name} has no mask, but the first frame of the set has one")
        assert self.masks is not None
        return map_mask(frame.mask, self.masks)

    def _label(self, frame: SourceFrame) -> int:
        if frame.label is None:
            raise DataError(f"{frame.name} has no class, but the first frame of the set has one")
        index = self._index(frame.label)
        if index is None:
            raise DataError(f"the bundle does not have the set's class {frame.label}")
        return index

    def _boxes(self, frame: SourceFrame) -> Boxes:
        """Return the boxes of the classes that the bundle has."""
        assert frame.boxes is not None
        indices = [self._index(int(class_id)) for class_id in frame.boxes.class_ids]
        kept = [place for place, index in enumerate(indices) if index is not None]
        return Boxes.of(frame.boxes.corners[kept], [indices[place] for place in kept], frame.boxes.frame)

    def _index(self, value: int) -> int | None:
        if self.indices is None:
            return value
        if value >= len(self.indices):
            raise DataError(f"the class is {value}, expected 0 to {len(self.indices) - 1}")
        return self.indices[value]


class Frames:
    """Frames in order, any number of times; frame ``i`` is the same in each pass, whatever was skipped before it.

    ``len()`` counts bad frames too. ``skipped`` names those of the last pass, with the cause.

    Args:
        name: what the user called the data.
        source: where the frames come from.
        rule: how truth is read.
        labels: the set's ``labels.json``, if it has one.
        rate_notes: what a reader of results should know about the rate.
        truth_notes: what he should know about frames and truth.
        stop: the number of frames at most.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        rule: TruthRule,
        labels: dict[str, Any] | None,
        rate_notes: Sequence[str],
        truth_notes: Sequence[str],
        stop: int | None = None,
    ) -> None:
        self.name, self.rate_notes, self.truth_notes = name, list(rate_notes), list(truth_notes)
        self.notes = [*rate_notes, *truth_notes]
        self.truth, self.rate_hz = rule.kind, source.rate_hz
        self.labels = labels
        self.labels_of_set: list[str] | None = labels["class_names"] if labels else None
        self.digest = _digest(name, source, labels)
        self.skipped: dict[str, str] = {}
        self._seen: set[int] = set()
        self._source, self._rule = source, rule
        self._start, self._stop, self._whole = 0, stop, True

    def __len__(self) -> int:
        """Return the number of frames, counted without decoding pixels except for videos."""
        return max(0, self._source.count(self._stop) - self._start)

    def select(self, start: int, stop: int | None = None) -> Frames:
        """Return the frames from ``start`` to before ``stop``; the others' pixels are not decoded in a pass."""
        if start < 0 or (stop is not None and stop < start):
            raise ValueError(f"slice {start}:{stop} is not in order")
        chosen = copy.copy(self)
        chosen.skipped, chosen._seen, chosen._whole = {}, set(), False
        ends = [end for end in (self._stop, None if stop is None else self._start + stop) if end is not None]
        chosen._stop = min(ends, default=None)
        chosen._start = self._start + start
        return chosen

    def __iter__(self) -> Iterator[LabelledFrame]:
        """Yield the frames; raises DataError when no frame of the whole set can be used."""
        self.skipped, self._seen = {}, set()
        total = 0
        if self._stop is not None and self._stop <= self._start:
            return
        for total, item in enumerate(self._source.read(self._start, self._stop), 1):
            frame = self._use(item)
            if isinstance(frame, Skipped):
                self._skip(frame, self._start + total - 1)
            else:
                yield frame
        if self._whole and len(self.skipped) >= total:
            bad = [Skipped(name, cause) for name, cause in self.skipped.items()]
            raise nothing_left(self.name, total, bad, self._source.notes)

    def never_seen(self) -> list[str]:
        """Return a note of the set's classes that the truth of the last pass never had; none where it has them all."""
        if self.truth is None or not self._seen or self.labels is None:
            return []
        names = self.labels["class_names"]
        expected = set(range(len(names))) - {self.labels.get("void_index")}
        absent = [names[index] for index in sorted(expected - self._seen)]
        values = f" (just {list_names(map(str, sorted(self._seen)))} occur)" if self.truth == "mask" else ""
        return [f"classes that never occur: {list_names(absent)}{values}"] if absent else []

    def _use(self, item: SourceFrame | Skipped) -> LabelledFrame | Skipped:
        if isinstance(item, Skipped):
            return item
        try:
            frame = self._rule.apply(item)
        except DataError as err:
            return Skipped(item.name, str(err))
        if self.truth == "mask" and item.mask is not None:
            self._seen.update(np.flatnonzero(cv2.calcHist([item.mask], [0], None, [256], [0, 256])).tolist())
        elif self.truth == "boxes" and item.boxes is not None:
            self._seen.update(item.boxes.class_ids.tolist())
        elif item.label is not None:
            self._seen.add(item.label)
        return frame

    def _skip(self, bad: Skipped, position: int) -> None:
        name = f"{bad.name} (frame {position})" if bad.name in self.skipped else bad.name
        self.skipped[name] = bad.cause


def open_frames(
    spec: str,
    data_root: Path,
    classes: Sequence[str] | None = None,
    *,
    ignore: int = UNLABELLED,
    label_classes: Sequence[str] | None = None,
    box_classes: Sequence[str] | None = None,
    topic: str | None = None,
    limit: int | None = None,
    truth: bool = True,
) -> Frames:
    """Open data to measure on.

    Args:
        spec: ``street:train``, ``val`` or ``demo``; ``SET:SPLIT`` below ``data_root``; ``DIR:SPLIT``; a folder of
            pictures, perhaps with masks; a set of COCO's format; a folder of class folders; a video; a ``.tar``
            shard; a rosbag. Files and folders may be named from here or from ``data_root``.
        data_root: folder of the data sets.
        classes: classes of the bundle's segmentation head, in order: masks are mapped to them by name where the set
            names its classes, else taken as they are. None: masks are taken as they are.
        ignore: the head's value of pixels without a class.
        label_classes: classes of the bundle's classification head, likewise; None: labels are taken as they are.
        box_classes: classes of the bundle's detection head, likewise; boxes of other classes are left out.
        topic: image topic of a rosbag that has several.
        limit: the first so many frames only (of ``street``, which has no end: 200 without a limit).
        truth: False leaves out what the data say of the frames.

    Raises:
        DataError: there is no such data, it has no end, or its ``labels.json`` is malformed.
    """
    if limit is not None and limit < 1:
        raise DataError(f"the limit is {limit} frames, expected at least 1")
    source = _open(spec, data_root, topic, limit)
    labels = source.labels()
    kind = source.truth if truth else None
    if kind == "mask":
        rule, notes = _mask_rule(labels, classes, ignore)
    else:
        rule, notes = _index_rule(kind, labels, box_classes if kind == "boxes" else label_classes)
    return Frames(spec, source, rule, labels, _rate(source, labels), [*source.notes, *notes], limit)


def _open(spec: str, data_root: Path, topic: str | None, limit: int | None) -> Source:
    name, _, split = spec.rpartition(":")
    if (
        is_camera(spec, data_root)
        or spec == STREET
        or (name == STREET and split.isdecimal() and limit is None)
    ):
        raise DataError(f"{spec!r} has no end: give street:val, a data set, a folder, a video or a rosbag")
    if name == STREET and not split.isdecimal():
        return StreetSplit(split, limit or STREET_FRAMES, DEFAULT_FPS)
    return open_source(spec, topic=topic, data_root=data_root)


def _rate(source: Source, labels: dict[str, Any] | None) -> list[str]:
    """Set the rate that the set states; return a note where a rate is assumed."""
    if not isinstance(source, FolderSource | ShardSource) or source.rate_hz is None:
        return []
    if labels and labels.get("rate_hz"):
        source.fps = source.rate_hz = float(labels["rate_hz"])
        return []
    return [f"no rate_hz in labels.json: taken as {source.rate_hz:g} frames a second"]


def _mask_rule(
    labels: dict[str, Any] | None, classes: Sequence[str] | None, ignore: int
) -> tuple[TruthRule, list[str]]:
    table, notes = mask_table(labels, classes, ignore)
    return TruthRule("mask" if table is not None else None, table), notes


def _index_rule(
    kind: TruthKind | None, labels: dict[str, Any] | None, classes: Sequence[str] | None
) -> tuple[TruthRule, list[str]]:
    """Return the rule of truth that is a class's index, of boxes or of frames."""
    if kind is None or classes is None:
        return TruthRule(kind), []
    if labels is None:
        as_they_are = range(len(classes))
        return TruthRule(kind, indices=as_they_are), [
            "no labels.json: classes are taken as the bundle's indices"
        ]
    fits, notes = match_names(labels["class_names"], classes)
    if all(index is None for index in fits):
        return TruthRule(None), [f"{notes[0]}; the set's truth is not used"]
    return TruthRule(kind, indices=fits), notes


def _digest(name: str, source: Source, labels: dict[str, Any] | None) -> str:
    """Return a cheap identity of the data: what files there are, how large and how old."""
    files = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in source.files()]
    identity = json.dumps([name, source.kind, files, getattr(source, "topic", None), labels])
    return hashlib.sha256(identity.encode()).hexdigest()[:32]
