# SPDX-License-Identifier: Apache-2.0
"""Our synthetic street: without end, or single pictures of it, with truth."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from frankensplit.data.sources import STREET, ListedSource, Place, Skipped, Source, SourceFrame, index_ns
from frankensplit.errors import DataError

ORDER = 0
STREET_FRAMES = 200


class StreetSource(Source):
    """The synthetic street, without end; each scene lasts ten seconds, then the next seed follows."""

    kind = "street"
    truth = "mask"
    SCENE_S = 10.0

    def __init__(self, seed: int, fps: float) -> None:
        super().__init__()
        self.seed, self.fps, self.rate_hz = seed, fps, fps

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[SourceFrame | Skipped]:
        """Yield frames, without a ``stop`` for ever."""
        from frankensplit.data.street import Street

        length, street = max(1, round(self.SCENE_S * self.fps)), None
        for index in itertools.takewhile(lambda at: stop is None or at < stop, itertools.count(start)):
            scene, at = divmod(index, length)
            if street is None or street.seed != self.seed + scene:
                street = Street(self.seed + scene, fps=self.fps)
            frame = street.frame(at)
            name = f"street_{street.seed:04d}_{at:05d}"
            yield SourceFrame(frame.rgb, frame.mask, index_ns(index, self.fps), name)

    def count(self, stop: int | None = None) -> int:
        """Return ``stop``; without one there is no end."""
        return super().count() if stop is None else stop

    def labels(self) -> dict[str, Any]:
        """Return the street's classes."""
        from frankensplit.data.street import CLASSES, VOID

        return {"class_names": list(CLASSES), "void_index": VOID}

    def files(self) -> Sequence[Path]:
        """Return the code that draws the street."""
        return sorted(Path(__file__).parents[1].joinpath("street").glob("*.py"))


class StreetSplit(ListedSource):
    """Single pictures of the synthetic street; the splits share no seed."""

    kind = "street"
    truth = "mask"
    labels, files = StreetSource.labels, StreetSource.files

    def __init__(self, split: str, frames: int, fps: float) -> None:
        from frankensplit.data.scenes import require_split

        super().__init__([f"street_{require_split(split)}_{number:05d}" for number in range(frames)], fps)
        self.split = split

    def load(self, index: int) -> SourceFrame:
        """Draw one picture."""
        from frankensplit.data.scenes import street_scene

        scene = street_scene(self.split, index)
        return SourceFrame(scene.rgb, scene.mask, index_ns(index, self.fps), scene.key)


def open_place(place: Place, fps: float, topic: str | None) -> Source | None:
    """Open ``street``, ``street:SEED`` or ``street:SPLIT``."""
    name, colon, split = place.spec.rpartition(":")
    if STREET not in (place.spec, name):
        return None
    if not colon or split.isdecimal():
        return StreetSource(int(split) if colon else 0, fps)
    try:
        return StreetSplit(split, STREET_FRAMES, fps)
    except DataError as err:
        raise DataError(f"source {place.spec!r}: {err}; or a street's seed from 0, such as street:7") from err
