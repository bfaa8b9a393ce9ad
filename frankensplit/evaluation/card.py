# SPDX-License-Identifier: Apache-2.0
"""Write measured figures into a bundle's card, and the card's new hash into its manifest."""

from __future__ import annotations

from typing import Any

from frankensplit.bundle import BUNDLE, Bundle, copy_files, write_manifest
from frankensplit.evaluation import OURS
from frankensplit.writing import new_folder

HEADING = "## Figures\n"


def write_figures(bundle: Bundle, result: dict[str, Any]) -> None:
    """Replace the card's figures by those of an evaluation; the bundle is written again, whole or not at all."""
    with new_folder(bundle.path, BUNDLE) as partial:
        copy_files(bundle, partial)
        head, _, _ = (partial / "card.md").read_text(encoding="utf-8").partition(HEADING)
        (partial / "card.md").write_text(head + HEADING + summary_markdown(result), encoding="utf-8")
        kept = {key: value for key, value in bundle.manifest.items() if key not in ("format", "files")}
        write_manifest(partial, kept)


def summary_markdown(result: dict[str, Any]) -> str:
    """Return a short table: our bytes at each level, and those with which each rival loses no more, head by head."""
    heads = result["heads"]
    ours = [[row for row in head["rows"] if row["codec"] == OURS] for head in heads.values()]
    names = [f"{name} {head['metric']}" for name, head in heads.items()]
    unmodified = [f"{head['unmodified']:.2f}" for head in heads.values()]
    lines = [
        f"`{result['command']}` on {result['frames']} frames; points lost in brackets.",
        "",
        f"| bytes a frame | {' | '.join(names)} |",
        f"|---|{'---|' * len(names)}",
        f"| unmodified backbone, no compression | {' | '.join(unmodified)} |",
    ]
    for rows in zip(*ours, strict=True):
        level = f", level {rows[0]['quality']}" if len(ours[0]) > 1 else ""
        values = " | ".join(_value(row) for row in rows)
        lines.append(f"| frankensplit{level}, {rows[0]['bytes_per_frame']:.0f} bytes | {values} |")
    for rival in next(iter(heads.values()))["bytes_at_our_loss"]:
        cells = (_needs(head, rival) for head in heads.values())
        lines.append(f"| {rival}, to lose no more | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _value(row: dict[str, Any]) -> str:
    low, high = row["ci95"]
    return f"{row['value']:.2f} ({row['loss_points']:.2f}, 95 %: {low:.2f} to {high:.2f})"


def _needs(head: dict[str, Any], rival: str) -> str:
    """Return the bytes with which a rival loses as little as we do, or the most that were tried in vain."""
    if not head["unmodified"]:
        return "-"
    needs = head["bytes_at_our_loss"][rival]
    if needs:
        return f"{needs:.0f} bytes"
    tried = max(row["bytes_per_frame"] for row in head["rows"] if row["codec"] == rival)
    return f"over {tried:.0f} bytes"
