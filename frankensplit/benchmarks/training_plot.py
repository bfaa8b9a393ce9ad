# SPDX-License-Identifier: Apache-2.0
"""Points lost against bytes a frame, for recipes that differ in objective and rate: one panel a head."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from frankensplit.writing import write_file

COLUMN_INCHES, HEIGHT_INCHES, DPI = 4.2, 3.6, 130


def draw(rows: Sequence[dict[str, Any]], out: Path) -> None:
    """Draw the rows of ``frankensplit bench training`` as a PNG; recipes that differ only in the rate are joined."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    heads = list(rows[0]["heads"])
    figure, panels = pyplot.subplots(
        1,
        len(heads),
        figsize=(COLUMN_INCHES * len(heads), HEIGHT_INCHES),
        dpi=DPI,
        squeeze=False,
        layout="constrained",
    )
    series: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        series[_label(row["settings"])].append(row)
    for panel, head in zip(panels[0], heads, strict=True):
        for label, members in series.items():
            _draw_series(panel, label, sorted(members, key=lambda row: float(row["bytes_per_frame"])), head)
        about = rows[0]["heads"][head]
        panel.set_title(
            f"{head}: {about['metric']} of the unmodified backbone {about['unmodified']:.1f}", fontsize=9
        )
        panel.set_xlabel("bytes a frame")
        panel.axhline(0, color="0.6", linewidth=0.8)
        panel.invert_yaxis()
        panel.grid(alpha=0.25)
    panels[0][0].set_ylabel("points lost (up is better)")
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    picture = io.BytesIO()
    figure.savefig(picture, metadata={"Software": None})
    pyplot.close(figure)
    write_file(out, picture.getbuffer())


def _draw_series(panel: Any, label: str, rows: Sequence[dict[str, Any]], head: str) -> None:
    loss = [row["heads"][head]["loss_points"] for row in rows]
    low, high = zip(*(row["heads"][head]["ci95"] for row in rows), strict=True)
    bars = [[a - b for a, b in zip(loss, low, strict=True)], [b - a for a, b in zip(loss, high, strict=True)]]
    panel.errorbar(
        [row["bytes_per_frame"] for row in rows],
        loss,
        bars,
        label=label,
        marker="o",
        markersize=4,
        capsize=2,
        linewidth=1,
    )


def _label(settings: dict[str, Any]) -> str:
    """Name an objective as the documentation does."""
    parts = [str(settings.get("objective", "features"))]
    if settings.get("channel_weight") == "fisher":
        parts.append("fisher")
    if settings.get("saliency"):
        parts.append("saliency")
    return " + ".join(parts)
