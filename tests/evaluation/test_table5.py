# SPDX-License-Identifier: Apache-2.0
"""``frankensplit info --table5``: what it counts and measures, and what it calls too much."""

from __future__ import annotations

import json

import pytest
import torch

from frankensplit.cli import main
from frankensplit.evaluation import table5


@pytest.fixture
def resnet18(monkeypatch):
    """Measure one small backbone in place of the paper's nine."""
    monkeypatch.setattr(table5, "BACKBONES", {"resnet18": 100.0})


def test_a_row_by_hand(resnet18):
    threads = torch.get_num_threads()
    result = table5.measure_table5(rounds=3)
    (row,) = result["rows"]
    assert row["backbone"] == "resnet18" and row["paper_overhead_percent"] == 100.0
    assert row["backbone_parameters"] == 11_689_512  # as published
    assert row["head_parameters"] == 9_408 + 128 + 147_968 + 525_568  # convolution, its norm, layer1, layer2
    added = 141_696 + 2_928 + row["decoder_parameters"] - row["head_parameters"]
    assert row["overhead_percent"] == pytest.approx(100 * added / 11_689_512, abs=1e-4)
    assert row["decoder_over_head_time"] == pytest.approx(row["decoder_ms"] / row["head_ms"], rel=0.02)
    assert result["threads"] == 1 and result["command"] and result["machine"]
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("overhead", "ratio", "keeps"),
    [(1.0001, 0.9, True), (1.006, 0.9, False), (0.5, 1.0, True), (0.5, 1.001, False)],
)
def test_too_much_is_a_finding(monkeypatch, capsys, tmp_path, overhead, ratio, keeps):
    row = {
        "backbone": "resnet18",
        "overhead_percent": overhead,
        "paper_overhead_percent": 1.0,
        "decoder_over_head_time": ratio,
        "decoder_ms": 12.5,
        "head_ms": 20.0,
    }
    monkeypatch.setattr(table5, "measure_table5", lambda: {"rows": [row]})
    out = tmp_path / "table5.json"
    assert main(["info", "--table5", "--json", str(out)]) == (0 if keeps else 1)
    assert json.loads(out.read_text(encoding="utf-8")) == {"rows": [row]}
    text = capsys.readouterr().out
    assert all(said in text for said in ("resnet18", f"{overhead:.2f}", "12.5", f"{ratio:.2f}"))


def test_bundle_or_table():
    with pytest.raises(SystemExit) as exit_:
        main(["info", "street", "--table5"])
    assert exit_.value.code == 2
