# SPDX-License-Identifier: Apache-2.0
"""Frames side by side: JPEG at the bytes of our packet, what each lets the network see, and where that goes wrong."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from frankensplit.bundle import Bundle
from frankensplit.data.frames import LabelledFrame, open_frames
from frankensplit.edge.encoder import FrameEncoder
from frankensplit.errors import DataError
from frankensplit.evaluation.rivals import Options, load_rival
from frankensplit.geometry import Geometry
from frankensplit.inference.overlay import colours_of, draw_overlay
from frankensplit.results import MaskResult

if TYPE_CHECKING:
    from frankensplit.inference.predictor import Predictor

WIDTH = 480  # pixels at most, as embedded
QUALITY = 80  # quality of the embedded WebP
APART = 9  # frames between two pictures: neighbours look alike
# Colours of pixels that are right without compression but not with it, and the other way round.
HARM, GAIN = (222, 73, 8), (20, 120, 214)
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Tile:
    """One picture: what it is, a figure below it, and its file as a data address."""

    title: str
    note: str
    source: str


@dataclass(frozen=True)
class Comparison:
    """One frame's pictures, in rows of four."""

    key: str
    width: int
    height: int
    tiles: list[Tile]


@dataclass(frozen=True)
class Pictures:
    """All frames compared, and the classes of the overlays with their colours (CSS)."""

    data: str
    truth: bool
    frames: list[Comparison]
    classes: list[tuple[str, str]]


def compare(bundle: Bundle, spec: str, data_root: Path, count: int) -> Pictures:
    """Code, predict and draw a few frames, evenly spaced from the first on.

    Args:
        bundle: the bundle; its first head that gives a mask is drawn.
        spec: the frames, see ``frankensplit.data.frames.open_frames``.
        data_root: folder of the data sets.
        count: how many frames.

    Raises:
        DataError: the data cannot be read, or the bundle has no head that gives a mask.
    """
    from frankensplit.inference.predictor import Predictor

    predictor = Predictor(bundle)
    head = next((info.name for info in predictor.heads.values() if info.kind == "mask"), None)
    if head is None:
        raise DataError(f"bundle {bundle.name!r} has no head that gives a mask, which pictures need")
    labels = bundle.labels[head]
    chosen = _choose(spec, data_root, labels, count)
    painter = _Painter(predictor, head)
    frames = [painter.compare(frame) for frame in chosen]
    colours = ["#{:02x}{:02x}{:02x}".format(*colour) for colour in colours_of(labels)]
    truth = any(frame.mask is not None for frame in chosen)
    return Pictures(spec, truth, frames, list(zip(labels["classes"], colours, strict=False)))


def nearest_jpeg(rgb: Pixels, target_bytes: int) -> tuple[int, bytes, Pixels]:
    """Return the JPEG quality whose file is nearest to this many bytes, the file, and what it decodes to."""
    jpeg = load_rival("jpeg")
    files = {quality: jpeg.open_coder(quality, Options()).encode(rgb) for quality in range(1, 101)}
    quality = min(files, key=lambda one: (abs(len(files[one]) - target_bytes), one))
    decoded = jpeg.open_coder(quality, Options()).decode(files[quality])
    assert decoded is not None
    return quality, files[quality], decoded


def error_map(
    rgb: Pixels, mask: Pixels, unmodified: Pixels, truth: Pixels | None, ignore: int
) -> tuple[Pixels, str]:
    """Mark what compression changed, on a faded frame.

    Args:
        rgb: the frame, uint8 ``(H, W, 3)``.
        mask: prediction after compression, uint8 ``(H, W)``.
        unmodified: prediction without compression.
        truth: true classes; None marks every difference between the predictions as harm.
        ignore: the value of ``truth`` that counts nothing.

    Returns:
        uint8 RGB, and the shares of pixels in words.
    """
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    picture = np.repeat((grey * 0.35 + 150).astype(np.uint8)[..., np.newaxis], 3, axis=2)
    if truth is None:
        harm, gain = mask != unmodified, np.zeros(mask.shape, bool)
        words = f"{100 * harm.mean():.1f} % differ"
    else:
        counts = truth != ignore
        harm = counts & (mask != truth) & (unmodified == truth)
        gain = counts & (mask == truth) & (unmodified != truth)
        shares = [100 * part.sum() / max(counts.sum(), 1) for part in (harm, gain)]
        words = f"{shares[0]:.1f} % made wrong, {shares[1]:.1f} % made right"
    picture[harm], picture[gain] = HARM, GAIN
    return picture, words


class _Painter:
    """Draws the pictures of one frame after another."""

    def __init__(self, predictor: Predictor, head: str) -> None:
        self.predictor, self.head = predictor, head
        self.codec = predictor.codec
        self.labels: dict[str, Any] = {head: predictor.bundle.labels[head]}
        self.encoder = FrameEncoder(self.codec)

    def compare(self, frame: LabelledFrame) -> Comparison:
        rgb, truth = frame.rgb, frame.mask
        height, width = rgb.shape[:2]
        geometry = self.codec.geometry(height, width)
        packet = self.encoder.encode(rgb).data
        prepared = geometry.prepare(rgb)
        seen = np.ascontiguousarray(prepared[: geometry.scaled_height, : geometry.scaled_width])
        quality, file, decoded = nearest_jpeg(seen, len(packet))
        unmodified = self._mask(self.predictor.predict_prepared(prepared, geometry, [self.head]))
        ours = self._mask(self.predictor.predict(packet, [self.head]))
        jpeg = self._mask(self.predictor.predict_prepared(_padded(decoded, geometry), geometry, [self.head]))
        ignore = int(self.labels[self.head].get("ignore", -1))
        jpeg_map, jpeg_words = error_map(rgb, jpeg, unmodified, truth, ignore)
        our_map, our_words = error_map(rgb, ours, unmodified, truth, ignore)
        plain = Tile("Without compression", "unmodified backbone", self._overlay(rgb, unmodified))
        tiles = [
            Tile("Camera", frame.key, _webp(rgb)),
            Tile(f"JPEG, {len(file):,} bytes", f"quality {quality}, the nearest", _data("jpeg", file)),
            Tile("Prediction from the JPEG", "unmodified backbone", self._overlay(rgb, jpeg)),
            Tile("Errors of the JPEG", jpeg_words, _webp(jpeg_map)),
            plain if truth is None else Tile("Truth", "", self._overlay(rgb, truth)),
            *([] if truth is None else [plain]),
            Tile(
                f"Our packet, {len(packet):,} bytes", "header and checksum counted", self._overlay(rgb, ours)
            ),
            Tile("Errors of our packet", our_words, _webp(our_map)),
        ]
        return Comparison(frame.key, min(WIDTH, width), round(height * min(1, WIDTH / width)), tiles)

    def _mask(self, prediction: Any) -> Pixels:
        mask: Pixels = prediction.results[self.head].mask
        return mask

    def _overlay(self, rgb: Pixels, mask: Pixels) -> str:
        return _webp(draw_overlay(rgb, {self.head: MaskResult(mask)}, self.labels))


def _choose(spec: str, data_root: Path, labels: dict[str, Any], count: int) -> list[LabelledFrame]:
    ignore = int(labels.get("ignore", 255))
    limit = (count - 1) * APART + 1
    frames = list(open_frames(spec, data_root, labels["classes"], ignore=ignore, limit=limit))
    if not frames:
        raise DataError(f"{spec} has no frame that can be read")
    step = max(1, (len(frames) - 1) // max(count - 1, 1))
    return frames[::step][:count]


def _padded(decoded: Pixels, geometry: Geometry) -> Pixels:
    height, width = decoded.shape[:2]
    return Geometry(height, width, height, width, geometry.multiple).prepare(decoded)


def _webp(rgb: Pixels) -> str:
    height, width = rgb.shape[:2]
    if width > WIDTH:
        rgb = np.asarray(
            cv2.resize(rgb, (WIDTH, round(height * WIDTH / width)), interpolation=cv2.INTER_AREA), np.uint8
        )
    good, data = cv2.imencode(".webp", rgb[:, :, ::-1], [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
    assert good
    return _data("webp", data.tobytes())


def _data(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
