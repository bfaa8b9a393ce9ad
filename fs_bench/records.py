# SPDX-License-Identifier: Apache-2.0
"""What the benchmark's processes tell each other by files: when a round starts, what was sent, what was predicted.

No ROS import. Times are nanoseconds of this machine's clock; a frame's stamp says which it is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from frankensplit.writing import write_file

LINES = "predictions.txt"


@dataclass(frozen=True)
class Record:
    """One prediction: its frame's stamp, when it was there, and its mask as a picture file."""

    stamp_ns: int
    done_ns: int
    mask_file: Path

    def mask(self) -> NDArray[np.uint8]:
        """Read the mask, uint8 ``(H, W)``."""
        return np.asarray(cv2.imread(str(self.mask_file), cv2.IMREAD_UNCHANGED), np.uint8)


class RecordWriter:
    """Write predictions to a folder, each as soon as it comes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / LINES).touch()

    def add(self, stamp_ns: int, done_ns: int, mask: NDArray[np.uint8]) -> None:
        """Keep one prediction."""
        cv2.imwrite(str(self._folder / f"{stamp_ns}.png"), mask, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        with (self._folder / LINES).open("a", encoding="utf-8") as file:
            file.write(f"{stamp_ns} {done_ns}\n")


def read_records(folder: Path) -> list[Record]:
    """Read the predictions so far, in order of arrival."""
    *lines, _unfinished = (folder / LINES).read_text(encoding="utf-8").split("\n")
    pairs = [tuple(map(int, line.split())) for line in lines]
    return [Record(stamp_ns, done_ns, folder / f"{stamp_ns}.png") for stamp_ns, done_ns in pairs]


def warm_up_round(folder: Path, number: int) -> None:
    """Tell the sender to begin a round's stream."""
    (folder / f"warm.{number}").touch()


def may_warm_up(folder: Path, number: int) -> bool:
    """Tell whether a round's stream may begin."""
    return (folder / f"warm.{number}").exists()


def start_round(folder: Path, number: int, start_ns: int) -> None:
    """Tell the sender when to take the round's first frame."""
    write_file(folder / f"start.{number}", str(start_ns))


def round_start_ns(folder: Path, number: int) -> int | None:
    """Return the time of a round's first frame, None before that is known."""
    path = folder / f"start.{number}"
    return int(path.read_text(encoding="utf-8")) if path.exists() else None


def write_sent(folder: Path, number: int, sent: dict[int, int]) -> None:
    """Tell the payload bytes of each frame that was sent, by its place in the round."""
    write_file(folder / f"sent.{number}", json.dumps(sent))


def read_sent(folder: Path, number: int) -> dict[int, int] | None:
    """Return what ``write_sent`` told, None before that."""
    path = folder / f"sent.{number}"
    if not path.exists():
        return None
    return {int(index): size for index, size in json.loads(path.read_text(encoding="utf-8")).items()}
