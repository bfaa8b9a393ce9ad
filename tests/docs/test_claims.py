# SPDX-License-Identifier: Apache-2.0
"""The table of the paper's claims in docs/method.md quotes the committed results."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
RESULTS = REPOSITORY / "docs" / "results"
PAGE = (REPOSITORY / "docs" / "method.md").read_text(encoding="utf-8")
TABLE = PAGE[PAGE.index("## What the paper claims") :]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")] for line in TABLE.splitlines() if line[:1] == "|"
][2:]


def result(name: str) -> Any:
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))


def measured(claim: str) -> str:
    """What the row that begins so says was measured."""
    (found,) = (row[2] for row in ROWS if row[0].startswith(claim))
    return found


def test_every_row_names_results_that_are_there():
    for claim, _, text, names in ROWS:
        files = re.findall(r"[\w-]+\.json", names)
        assert files or text.startswith("not measured"), claim
        assert all((RESULTS / name).is_file() for name in files), claim


def test_bytes_and_points():
    head = result("street-camvid-val.json")["heads"]["segmentation"]
    ours = next(
        row for row in head["rows"] if row["codec"] == "frankensplit" and not int(row["quality"] or 0)
    )
    text = measured("at most 0.4 points")
    assert text.startswith(f"{ours['loss_points']:.2f} points")
    assert f"{ours['ci95'][0]:.2f} to {ours['ci95'][1]:.2f}" in text
    assert f"{ours['bpp']:.2f} bits a pixel, {ours['bytes_per_frame'] / 1000:.2f} kB" in text


def test_sizes_and_times_of_encoders():
    rows = {row["codec"]: row for row in result("components.json")["rows"]}

    def encode_ms(codec: str) -> float:
        return rows[codec]["encode_ms"] + (rows[codec]["entropy_encode_ms"] or 0)

    ours = rows["frankensplit"]["encoder_parameters"]
    assert f"{ours:,}" in measured("parameters of the encoder")
    assert measured("encoder smaller than Balle").startswith(
        f"{rows['fp']['encoder_parameters'] / ours:.1f}x"
    )
    for claim, codec, places in (
        ("encoder faster than Balle", "fp", 2),
        ("encoder faster than Cheng", "cheng", 1),
    ):
        ratio = encode_ms(codec) / encode_ms("frankensplit")
        assert measured(claim).startswith(f"{ratio:.{places}f}x")


def test_times_over_links():
    totals = {(row["codec"], row["link"]): row["total_ms"] for row in result("link.json")["rows"]}
    for codec, claim in (("png", "less latency than PNG"), ("webp", "less latency than WebP")):
        ratios = [totals[codec, link] / totals["frankensplit", link] for link in ("BLE", "4G")]
        assert [float(one) for one in re.findall(r"([\d.]+)x", measured(claim))] == [
            float(f"{ratio:.3g}") for ratio in ratios
        ]


def test_time_of_the_blueprint():
    value = result("bench.json")["figures"]["time_blueprint_over_shallow_layers"]["value"]
    assert measured("the blueprint takes no longer").startswith(f"{value:.2f} times")
