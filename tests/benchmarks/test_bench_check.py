# SPDX-License-Identifier: Apache-2.0
"""The standing check: a planted regression fails, the same figures and better ones pass, noise is what it was."""

from __future__ import annotations

import json
from statistics import stdev

import numpy as np
import pytest

from frankensplit.benchmarks import check
from frankensplit.benchmarks.check import compare, summarise
from frankensplit.benchmarks.reference_rans import ReferenceRans
from frankensplit.bundle import Bundle
from frankensplit.cli import main
from frankensplit.codec import Tables, rans
from frankensplit.errors import RuntimeUnavailable

FIGURES = {
    "bytes_per_frame": 5000.0,
    "loss_points_segmentation": 0.5,
    "bytes_over_jpeg_at_equal_loss": 0.4,
    "time_blueprint_over_shallow_layers": 1.5,
}


@pytest.fixture
def machine(monkeypatch, bundle_path, tmp_path):
    """What ``bench check`` measures, one dictionary a run; and the command."""
    runs = []
    monkeypatch.setattr(check, "_measure_in_a_process", lambda bundle: runs.pop(0))
    baseline = tmp_path / "results" / "bench.json"

    def command(*more):
        return main(["bench", "check", str(bundle_path), "--baseline", str(baseline), *more])

    return runs, command, baseline


@pytest.fixture
def committed(machine):
    runs, command, baseline = machine
    runs += [FIGURES] * 3
    assert command("--update", "--runs", "3") == 0
    return runs, command, baseline


def test_allowed_is_by_hand():
    values = [1.4, 1.5, 1.7]
    runs = [FIGURES | {"time_blueprint_over_shallow_layers": value} for value in values]
    summary = summarise(runs)
    spread = stdev(values)
    assert summary["time_blueprint_over_shallow_layers"] == {
        "value": 1.5,
        "spread": round(spread, 4),
        "allowed": round(1.5 + 3 * spread, 4),
    }
    assert summary["bytes_per_frame"] == {"value": 5000.0, "spread": 0.0, "allowed": 5050.0}
    assert summary["loss_points_segmentation"]["allowed"] == pytest.approx(0.6)
    assert summarise([FIGURES])["time_blueprint_over_shallow_layers"]["allowed"] == pytest.approx(1.875)


@pytest.mark.parametrize(
    ("figure", "now", "verdict"),
    [
        ("bytes_per_frame", 5050.0, "same"),
        ("bytes_per_frame", 5051.0, "worse"),
        ("bytes_per_frame", 4000.0, "better"),
        ("loss_points_segmentation", 0.61, "worse"),
        ("loss_points_segmentation", 0.59, "same"),
        ("bytes_over_jpeg_at_equal_loss", 0.45, "worse"),
        ("time_blueprint_over_shallow_layers", 1.8, "same"),
        ("time_blueprint_over_shallow_layers", 1.9, "worse"),
    ],
)
def test_verdicts(figure, now, verdict):
    verdicts = compare(summarise([FIGURES]), FIGURES | {figure: now})
    assert verdicts.pop(figure)["verdict"] == verdict
    assert {found["verdict"] for found in verdicts.values()} == {"same"}


def test_a_rival_that_begins_to_reach_our_loss_is_a_regression():
    before = FIGURES | {"bytes_over_jpeg_at_equal_loss": 0.0}
    assert compare(summarise([before]), FIGURES)["bytes_over_jpeg_at_equal_loss"]["verdict"] == "worse"


def test_the_same_figures_pass(committed):
    runs, command, _ = committed
    runs.append(FIGURES)
    assert command() == 0


def test_a_planted_regression_fails_and_is_named(committed, capsys, tmp_path):
    runs, command, _ = committed
    runs += [FIGURES | {"bytes_per_frame": 5600.0, "loss_points_segmentation": 0.9}] * 2
    assert command("--json", str(tmp_path / "now.json")) == 1
    text = capsys.readouterr().err
    assert "worse: bytes_per_frame was 5000, is 5600, allowed are 5050" in text
    assert "worse: loss_points_segmentation was 0.5, is 0.9, allowed are 0.6" in text
    assert "time_blueprint_over_shallow_layers was" not in text
    written = json.loads((tmp_path / "now.json").read_text())
    assert written["figures"]["bytes_per_frame"]["verdict"] == "worse"


def test_a_disturbed_measurement_is_repeated(committed):
    runs, command, _ = committed
    runs += [FIGURES | {"time_blueprint_over_shallow_layers": 3.0}, FIGURES | {"bytes_per_frame": 5001.0}]
    assert command() == 0 and not runs


def test_an_improvement_passes_and_asks_to_be_held(committed, capsys):
    runs, command, _ = committed
    runs.append(FIGURES | {"bytes_per_frame": 4000.0})
    assert command() == 0
    assert "to hold bytes_per_frame: bench check --update" in capsys.readouterr().err


def test_figures_that_cannot_be_measured_here_do_not_fail(committed):
    runs, command, _ = committed
    runs.append(
        {name: value for name, value in FIGURES.items() if name != "time_blueprint_over_shallow_layers"}
    )
    assert command() == 0


def test_update_says_where_figures_come_from(committed):
    written = json.loads(committed[2].read_text())
    assert {"bundle", "runs", "command", "commit", "machine", "figures"} <= set(written)
    assert written["runs"] == 3 and set(written["figures"]) == set(FIGURES)


def test_missing_or_damaged_figures_name_the_next_step(machine, capsys):
    _, command, baseline = machine
    assert command() == 2
    assert "--update" in capsys.readouterr().err
    baseline.parent.mkdir()
    for text in ("", "{}", '{"figures": {"bytes_per_frame": {"value": 1}}}', "[]"):
        baseline.write_text(text)
        assert command() == 2
        assert "no committed figures" in capsys.readouterr().err


def test_the_small_set_is_what_it_says(bundle_path, monkeypatch):
    from frankensplit.benchmarks import small_set
    from frankensplit.data.scenes import street_scene
    from frankensplit.edge.encoder import FrameEncoder

    monkeypatch.setattr(small_set, "RIVALS", {"jpeg": (5, 90)})
    bundle = Bundle.open(bundle_path)
    figures = small_set.measure(bundle, frames=1)
    scene = street_scene("val", 0)
    payload_bytes = len(FrameEncoder(bundle.codec).encode(scene.rgb).data)
    assert figures["bytes_per_frame"] == payload_bytes
    heads = {f"loss_points_{head}" for head in bundle.server["heads"]}
    times = {name for name in small_set.RATIOS if name in figures}
    assert set(figures) == heads | times | {"bytes_per_frame", "bytes_over_jpeg_at_equal_loss"}
    assert {
        "time_blueprint_over_shallow_layers",
        "time_frame_to_packet_over_webp_80",
        "time_tail_over_backbone",
    } <= times
    assert all(figures[name] > 0 for name in times)


def test_the_reference_coder_does_the_same_work():
    rng = np.random.default_rng(0)
    tables = Tables.from_counts([(-4, np.ones(9))] * 3)
    symbols = rng.integers(-6, 7, (3, 5, 7)).astype(np.int32)
    try:
        reference = ReferenceRans(tables)
    except RuntimeUnavailable as err:
        pytest.skip(str(err))
    values, indexes = reference.lists(symbols)
    payload = reference.encode(values, indexes)
    assert payload == rans.encode(symbols, tables)
    assert reference.decode(payload, indexes) == values
