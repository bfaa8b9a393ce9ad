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

import numpy as np
from numpy.typing import NDArray

from frankensplit.data.labels import UNLABELLED, map_mask, mask_table, match_names
from frankensplit.data.sources import (
    DEFAULT_FPS,
    STREET,
    STREET_FRAMES,
    FolderSource,
    ShardSource,
    Skipped,
    Source,
    SourceFrame,
    StreetSplit,
    Truth,
    nothing_left,
    open_source,
)
from frankensplit.errors import DataError


@dataclass(frozen=True)
class LabelledFrame:
    """One frame: uint8 RGB ``(H, W, 3)`` and its truth in the bundle's indices.

    The mask is uint8 ``(H, W)``; mask and label are None where the set's truth is of the other kind or none.
    """

    key: str
    rgb: NDArray[np.uint8]
    mask: NDArray[np.uint8] | None
    label: int | None
    stamp_ns: int


@dataclass(frozen=True)
class TruthRule:
    """What a set's truth is to a bundle: its kind, and the bundle's index for each of the set's values."""

    kind: Truth
    masks: NDArray[np.int16] | None = None
    labels: Sequence[int | None] | None = None  # None: as they are

    def apply(self, frame: SourceFrame) -> LabelledFrame:
        """Return the frame with the bundle's truth; raises DataError where it has none or an unknown one."""
        mask, label = None, None
        if self.kind == "mask" and self.masks is not None:
            if frame.mask is None:
                raise DataError(f"{frame.name} has no mask, but the first frame of the set has one")
            mask = map_mask(frame.mask, self.masks)
        elif self.kind == "label":
            if frame.label is None:
                raise DataError(f"{frame.name} has no class, but the first frame of the set has one")
            label = self._label(frame.label)
        return LabelledFrame(frame.name, frame.rgb, mask, label, frame.stamp_ns)

    def _label(self, label: int) -> int:
        if self.labels is None:
            return label
        if label >= len(self.labels):
            raise DataError(f"the class is {label}, expected 0 to {len(self.labels) - 1}")
        index = self.labels[label]
        if index is None:
            raise DataError(f"the bundle does not have the set's class {label}")
        return index


class Frames:
    """Frames in order, any number of times; frame ``i`` is the same in each pass, whatever was skipped before it.

    ``len()`` counts bad frames too. ``skipped`` names those of the last pass, with the cause.

    Args:
        name: what the user called the data.
        source: where the frames come from.
        rule: how truth is read.
        labels: the set's ``labels.json``, if it has one.
        notes: what a reader of results should know about the data.
        stop: the number of frames at most.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        rule: TruthRule,
        labels: dict[str, Any] | None,
        notes: Sequence[str],
        stop: int | None = None,
    ) -> None:
        self.name, self.notes = name, list(notes)
        self.truth, self.rate_hz = rule.kind, source.rate_hz
        self.labels_of_set: list[str] | None = labels["class_names"] if labels else None
        self.digest = _digest(name, source, labels)
        self.skipped: dict[str, str] = {}
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
        chosen.skipped, chosen._whole = {}, False
        ends = [end for end in (self._stop, None if stop is None else self._start + stop) if end is not None]
        chosen._stop = min(ends, default=None)
        chosen._start = self._start + start
        return chosen

    def __iter__(self) -> Iterator[LabelledFrame]:
        """Yield the frames; raises DataError when no frame of the whole set can be used."""
        self.skipped = {}
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
            raise nothing_left(self.name, total, bad)

    def _use(self, item: SourceFrame | Skipped) -> LabelledFrame | Skipped:
        if isinstance(item, Skipped):
            return item
        try:
            return self._rule.apply(item)
        except DataError as err:
            return Skipped(item.name, str(err))

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
    topic: str | None = None,
    limit: int | None = None,
) -> Frames:
    """Open data to measure on.

    Args:
        spec: ``street:train``, ``val`` or ``demo``; ``SET:SPLIT`` below ``data_root``; ``DIR:SPLIT``; a folder of
            pictures, perhaps with masks; a folder of class folders; a video; a ``.tar`` shard; a rosbag. Files and
            folders may be named from here or from ``data_root``.
        data_root: folder of the data sets.
        classes: classes of the bundle's segmentation head, in order: masks are mapped to them by name where the set
            names its classes, else taken as they are. None: masks are taken as they are.
        ignore: the head's value of pixels without a class.
        label_classes: classes of the bundle's classification head, likewise; None: labels are taken as they are.
        topic: image topic of a rosbag that has several.
        limit: the first so many frames only (of ``street``, which has no end: 200 without a limit).

    Raises:
        DataError: there is no such data, it has no end, or its ``labels.json`` is malformed.
    """
    if limit is not None and limit < 1:
        raise DataError(f"a limit of {limit} frames leaves none: give at least 1")
    source = _open(spec, data_root, topic, limit)
    labels = source.labels()
    rule, notes = _rule(source, labels, classes, ignore, label_classes)
    return Frames(spec, source, rule, labels, [*_rate(source, labels), *source.notes, *notes], limit)


def _open(spec: str, data_root: Path, topic: str | None, limit: int | None) -> Source:
    name, _, split = spec.rpartition(":")
    if spec.isdecimal() or spec == STREET or (name == STREET and split.isdecimal() and limit is None):
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


def _rule(
    source: Source,
    labels: dict[str, Any] | None,
    classes: Sequence[str] | None,
    ignore: int,
    label_classes: Sequence[str] | None,
) -> tuple[TruthRule, list[str]]:
    if source.truth == "mask":
        table, notes = mask_table(labels, classes, ignore)
        return TruthRule("mask" if table is not None else None, table), notes
    if source.truth != "label":
        return TruthRule(None), []
    if label_classes is None:
        return TruthRule("label"), []
    as_they_are = range(len(label_classes))
    if labels is None:
        return TruthRule("label", labels=as_they_are), [
            "no labels.json: classes are taken as the bundle's indices"
        ]
    fits, notes = match_names(labels["class_names"], label_classes)
    if all(index is None for index in fits):
        return TruthRule("label", labels=as_they_are), [f"{notes[0]}; classes are taken by index"]
    return TruthRule("label", labels=fits), notes


def _digest(name: str, source: Source, labels: dict[str, Any] | None) -> str:
    """Return a cheap identity of the data: what files there are, how large and how old."""
    files = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in source.files()]
    identity = json.dumps([name, source.kind, files, getattr(source, "topic", None), labels])
    return hashlib.sha256(identity.encode()).hexdigest()[:32]
