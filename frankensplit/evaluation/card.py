# SPDX-License-Identifier: Apache-2.0
"""Write measured figures into a bundle's card, and the card's new hash into its manifest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from frankensplit.bundle import write_manifest

HEADING = "## Figures\n"


def write_figures(bundle: Path, result: dict[str, Any]) -> None:
    """Replace the card's figures by those of an evaluation."""
    card = bundle / "card.md"
    head, _, _ = card.read_text(encoding="utf-8").partition(HEADING)
    temporary = bundle / ".card.md"
    temporary.write_text(head + HEADING + figures_markdown(result), encoding="utf-8")
    temporary.replace(card)
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    kept = {key: value for key, value in manifest.items() if key not in ("format", "files")}
    write_manifest(bundle, kept)


def figures_markdown(result: dict[str, Any]) -> str:
    """Return an evaluation as a Markdown table, a row a codec and quality, with the command that made it."""
    heads = result["heads"]
    names = [f"{name} {head['metric']}" for name, head in heads.items()]
    unmodified = [f"{head['unmodified']:.2f}" for head in heads.values()]
    lines = [
        f"`{result['command']}` on {result['frames']} frames of `{result['data']}`; points lost in brackets.",
        "",
        f"| codec | quality | bytes a frame | bpp | {' | '.join(names)} |",
        f"|---|---|---|---|{'---|' * len(names)}",
        f"| unmodified backbone | | | | {' | '.join(unmodified)} |",
    ]
    for rows in zip(*(head["rows"] for head in heads.values()), strict=True):
        first = rows[0]
        values = " | ".join(f"{row['value']:.2f} ({row['loss_points']:.2f})" for row in rows)
        size = f"{first['bytes_per_frame']:.0f} | {first['bpp']:.3f}"
        lines.append(f"| {first['codec']} | {first['quality']} | {size} | {values} |")
    return "\n".join([*lines, "", *_at_our_loss(heads)]).rstrip() + "\n"


def _at_our_loss(heads: dict[str, Any]) -> list[str]:
    """Say for each head and rival what the rival needs for the same loss."""
    sentences = []
    for name, head in heads.items():
        ours = head["rows"][0]
        for rival, payload_bytes in head["bytes_at_our_loss"].items():
            needs = f"{payload_bytes:.0f} bytes" if payload_bytes else "an amount outside its sweep"
            sentences.append(
                f"- {name}: where the packets lose {ours['loss_points']:.2f} points with "
                f"{ours['bytes_per_frame']:.0f} bytes, {rival} needs {needs} to lose no more."
            )
    return sentences
