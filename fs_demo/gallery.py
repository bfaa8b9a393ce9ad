# SPDX-License-Identifier: Apache-2.0
"""Draw the frames of a demo into its video and its contact sheet. No ROS import."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from frankensplit.inference.overlay import draw_overlay
from frankensplit.results import BoxesResult, Result
from frankensplit.writing import write_file
from fs_demo.frames import DemoFrame
from fs_demo.live_table import number
from fs_demo.sheet import Chosen, Pixels, SheetRow, contact_sheet, fitted, legend_of, side_by_side
from fs_demo.tally import TOTAL, Tally
from fs_demo.video import OverlayVideo

SHEET_ROWS = 6
VIDEO_FILE, SHEET_FILE = "overlay.mp4", "contact-sheet.png"


class Gallery:
    """Pictures of one demo in a folder; use as a context."""

    def __init__(self, folder: Path, labels: Mapping[str, Mapping[str, Any]]) -> None:
        self._folder, self._labels = folder, labels
        self._chosen = Chosen(SHEET_ROWS)
        self._video = OverlayVideo(folder / VIDEO_FILE)
        self._size: tuple[int, int] | None = None  # the first picture's; later pictures are fitted into it

    def __enter__(self) -> Gallery:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Finish the video."""
        self._video.__exit__(None, None, None)

    def add(self, frame: DemoFrame, truths: Mapping[str, Result], thresholds: Mapping[str, float]) -> None:
        """Draw one frame, boxes from their head's threshold on; one whose picture did not arrive is left out."""
        if frame.rgb is None:
            return
        results = {name: _above(result, thresholds.get(name, 0.0)) for name, result in frame.results.items()}
        overlay = draw_overlay(frame.rgb, results, self._labels)
        self._size = self._size or frame.rgb.shape[:2]
        camera, drawn = (fitted(one, self._size) for one in (frame.rgb, overlay))
        self._video.add(side_by_side(camera, drawn, caption(frame)), frame.stamp_ns)
        row = None
        if self._chosen.wants_next():
            truth = (draw_overlay(frame.rgb, truths, self._labels),) if truths else ()
            row = SheetRow((frame.rgb, overlay, *truth), caption(frame))
        self._chosen.offer(row)

    def write_sheet(self, title: str, tally: Tally) -> Path | None:
        """Write the contact sheet; None where no frame came."""
        rows = self._chosen.items()
        if not rows:
            return None
        headings = ("camera", "predicted from the packet", "truth")[: max(len(row.pictures) for row in rows)]
        sheet = contact_sheet(
            f"frankensplit: {title}", subtitles(tally), headings, rows, legend_of(self._labels)
        )
        path = self._folder / SHEET_FILE
        write_file(path, _png(sheet))
        return path


def caption(frame: DemoFrame) -> str:
    """Say what one frame cost."""
    assert frame.cost is not None and frame.rgb is not None
    size = frame.cost.packet_bytes
    ratio = frame.raw_bytes() / size
    sizes = f"{size} bytes ({ratio:.0f} times less than raw)"
    return f"frame {frame.cost.sequence}   {sizes}   {number(frame.cost.latency_ms, 0)} ms"


def subtitles(tally: Tally) -> list[str]:
    """Say the figures of all frames: bytes and time in one line, accuracy in the next."""
    sizes, total = tally.sizes(), tally.latency_ms()[TOTAL]
    raw, png, jpeg = (number(sizes[name] / sizes["packet"]) for name in ("raw", "png", "jpeg_q90"))
    smaller = f"{raw}:1 raw, {png}:1 PNG, {jpeg}:1 JPEG q90"
    cost = [f"{tally.frames} frames", f"{sizes['packet'] / 1000:.2f} kB a frame", smaller]
    cost.append(f"camera to prediction {number(total['p50'], 0)} ms (p50)")
    heads = [
        f"{name} {one['metric']} {number(one['value'])}"
        for name, one in tally.heads().items()
        if one["frames"]
    ]
    return ["   |   ".join(parts) for parts in (cost, heads) if parts]


def _above(result: Result, threshold: float) -> Result:
    """Leave out boxes below the head's own threshold: they count for accuracy, but clutter the picture."""
    if not isinstance(result, BoxesResult):
        return result
    keep = result.scores >= threshold
    return dataclasses.replace(
        result, boxes=result.boxes[keep], class_ids=result.class_ids[keep], scores=result.scores[keep]
    )


def _png(picture: Pixels) -> bytes:
    return cv2.imencode(".png", np.ascontiguousarray(picture[:, :, ::-1]))[1].tobytes()
