# SPDX-License-Identifier: Apache-2.0
"""Measure a bundle and its rivals: the unmodified backbone, our packets, and each rival over its qualities.

Bytes are those on the wire: whole packets for ours, whole files or stream packets for rivals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from frankensplit.data.frames import Frames
from frankensplit.data.labels import list_names
from frankensplit.errors import DataError, RuntimeUnavailable
from frankensplit.evaluation import OURS
from frankensplit.evaluation.bootstrap import RESAMPLES, SEED, block_frames, loss_interval
from frankensplit.evaluation.curves import Row, bd_rate_percent, bytes_at_loss
from frankensplit.evaluation.measure import UNMODIFIED, Setting, Setup, labelled_heads, measure, parts_folder
from frankensplit.evaluation.metrics import HeadMetric, metric_for
from frankensplit.evaluation.records import FrameRecord
from frankensplit.evaluation.rivals import Options, Quality, load_rival, rival_names
from frankensplit.models.heads import head_class
from frankensplit.progress import track

Records = Mapping[Setting, Sequence[FrameRecord]]
REFERENCE = "jpeg"


def parse_rival(text: str) -> tuple[list[str], tuple[Quality, ...] | None]:
    """Return the rivals that ``NAME``, ``NAME:QUALITY,QUALITY`` or ``all`` stands for, and the qualities asked for.

    Raises:
        DataError: there is no such rival, or a quality is not a whole number.
    """
    name, colon, qualities = text.partition(":")
    if name == "all" and not colon:
        return rival_names(), None
    load_rival(name)
    if not colon:
        return [name], None
    try:
        return [name], tuple(int(quality) for quality in qualities.split(","))
    except ValueError as err:
        raise DataError(f"rival {text!r}: expected NAME or NAME:QUALITY,QUALITY such as jpeg:20,40") from err


def plan(
    rivals: Sequence[str], weights: Mapping[str, str], levels: int = 1
) -> tuple[list[Setting], dict[str, str]]:
    """Return the settings to measure, ours first, and why some rivals cannot be measured here (or not wholly).

    Args:
        rivals: as ``parse_rival`` takes them.
        weights: weights of learned rivals by name.
        levels: quality levels of ours.

    Raises:
        DataError: a rival is unknown.
    """
    settings = [Setting(OURS, level) for level in range(levels)]
    absent: dict[str, str] = {}
    for names, asked in map(parse_rival, rivals):
        for name in names:
            options = Options(weights=weights.get(name))
            for quality in asked or load_rival(name).qualities:
                fault = _fault(name, quality, options)
                if fault:
                    absent.setdefault(name, fault)
                else:
                    settings.append(Setting(name, quality))
    return list(dict.fromkeys(settings)), absent


def _fault(name: str, quality: Quality, options: Options) -> str | None:
    """Return why a rival cannot run here, or None."""
    try:
        load_rival(name).open_coder(quality, options)
    except RuntimeUnavailable as err:
        return str(err)
    return None


def evaluate(setup: Setup, rivals: Sequence[str], cache: Path, workers: int = 1) -> dict[str, Any]:
    """Measure and return the figures as JSON values.

    Args:
        setup: bundle and data.
        rivals: ``NAME``, ``NAME:QUALITY,QUALITY`` or ``all``.
        cache: folder in which finished parts are kept, so that an interrupted evaluation goes on.
        workers: processes.

    Raises:
        DataError: a rival is unknown, or the data have no frame that can be used.
    """
    bundle = setup.open_bundle()
    settings, absent = plan(rivals, setup.weights, len(bundle.codec.levels))
    frames = setup.open_frames(bundle)
    records = measure(setup, frames, settings, parts_folder(setup, cache), workers)
    unmodified = records[Setting(UNMODIFIED)]
    if not unmodified:
        raise DataError(f"{setup.data} has no frames that can be used")
    labelled = labelled_heads(bundle, frames)
    metrics = {
        name: metric_for(head_class(name, bundle.labels[name]).kind, bundle.labels[name])
        for name in bundle.server["heads"]
    }
    heads = {
        name: {"truth": "labels" if name in labelled else "unmodified backbone"}
        | _head(name, metric, records)
        for name, metric in metrics.items()
    }
    streamed = any(one.codec in rival_names() and load_rival(one.codec).sequence for one in settings)
    notes = [*(frames.rate_notes if streamed else ()), *frames.truth_notes]
    never = {name: metrics[name].never([one.statistics[name] for one in unmodified]) for name in labelled}
    notes += [
        f"classes that never occur in the truth of {name}: {list_names(classes)}"
        for name, classes in never.items()
        if classes
    ]
    return {
        "bundle": bundle.name,
        "codec_id": bundle.codec.id_hex,
        "precision": setup.precision,
        "data": setup.data,
        "frames": len(unmodified),
        "rate_hz": frames.rate_hz,
        "notes": notes,
        "skipped": _skipped(frames, len(unmodified)),
        "not_measured": absent,
        "bootstrap": {"resamples": RESAMPLES, "block_frames": block_frames(len(unmodified)), "seed": SEED},
        "heads": heads,
    }


def _skipped(frames: Frames, used: int) -> dict[str, str]:
    """Return the frames that could not be used, by name; one more pass where there are any."""
    if used < len(frames):
        for _ in frames:
            pass
    return frames.skipped


def _head(name: str, metric: HeadMetric, records: Records) -> dict[str, Any]:
    unmodified = [record.statistics[name] for record in records[Setting(UNMODIFIED)]]
    value = metric.value(unmodified)
    coded = [(setting, measured) for setting, measured in records.items() if setting.codec != UNMODIFIED]
    rows = [
        _row(name, metric, setting, measured, records[Setting(UNMODIFIED)], value)
        for setting, measured in track(coded, f"figures of {name}", len(coded))
    ]
    curves: dict[str, list[Row]] = {}
    for row in rows:
        curves.setdefault(row["codec"], []).append(row)
    ours, *rivals = curves
    loss = min(curves[ours], key=lambda row: row["quality"] or 0)["loss_points"]  # not the luckiest level's
    # If even the unmodified backbone scores 0, no codec can be worse, so the bytes say nothing.
    needs = {rival: bytes_at_loss(curves[rival], loss) if value > 0 else None for rival in rivals}
    return {
        "metric": metric.name,
        "unmodified": round(value, 3),
        **metric.details(unmodified),
        "rows": rows,
        "bytes_at_our_loss": needs,
        "bd_rate_percent": {rival: bd_rate_percent(curves[rival], curves[ours]) for rival in rivals},
        "bd_rate_over_jpeg_percent": {
            rival: bd_rate_percent(curves[REFERENCE], curves[rival])
            for rival in rivals
            if REFERENCE in curves and rival != REFERENCE
        },
        "prediction_bytes": round(float(np.mean([one["prediction_bytes"] for one in unmodified])), 1),
    }


def _row(
    head: str,
    metric: HeadMetric,
    setting: Setting,
    measured: Sequence[FrameRecord],
    unmodified: Sequence[FrameRecord],
    unmodified_value: float,
) -> Row:
    statistics = [record.statistics[head] for record in measured]
    value = metric.value(statistics)
    low, high = loss_interval(metric, [record.statistics[head] for record in unmodified], statistics)
    total = sum(record.payload_bytes for record in measured)
    row: Row = {
        "codec": setting.codec,
        "quality": setting.quality,
        "bytes_per_frame": round(total / len(measured), 1),
        "bpp": round(8 * total / sum(record.pixels for record in measured), 5),
        "value": round(value, 3),
        "loss_points": round(unmodified_value - value, 3),
        "ci95": [round(low, 3), round(high, 3)],
    }
    details = metric.details(statistics)
    return row | {name: figure for name, figure in details.items() if not isinstance(figure, dict)}
