# SPDX-License-Identifier: Apache-2.0
"""What a run tells: tables without a lost end, events without doubles, curves that show what the tables hold."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event

from frankensplit.training.curves import _smooth, draw_curves
from frankensplit.training.journal import CURVES, HELD_OUT, LOG, Journal
from frankensplit.training.table import Table, read_table


def _points(run):
    """Read all scalars of all event files: each record is a length, its checksum, an event, its checksum."""
    points = []
    for path in (run / "tensorboard").iterdir():
        data, at = path.read_bytes(), 0
        while at < len(data):
            (size,) = struct.unpack_from("<Q", data, at)
            event = Event.FromString(data[at + 12 : at + 12 + size])
            points += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
            at += 16 + size
    return sorted(points)


def test_table_drops_the_lost_end_and_goes_on(tmp_path):
    path = tmp_path / "t.csv"
    table = Table(path, 0)
    for step in range(5):
        table.write(step, {"loss": step / 3, "rate": math.nan})
    Table(path, 3).write(3, {"loss": 7, "rate": 8})
    assert path.read_text().splitlines() == [
        "step,loss,rate",
        "0,0,nan",
        "1,0.333333,nan",
        "2,0.666667,nan",
        "3,7,8",
    ]
    steps, columns = read_table(path)
    assert steps == [0, 1, 2, 3]
    assert columns["loss"] == pytest.approx([0, 1 / 3, 2 / 3, 7], rel=1e-5)


def test_table_that_begins_anew_forgets_all(tmp_path):
    Table(tmp_path / "t.csv", 0).write(0, {"old": 1})
    Table(tmp_path / "t.csv", 0).write(0, {"new": 2})
    assert (tmp_path / "t.csv").read_text() == "step,new\n0,2\n"
    assert read_table(tmp_path / "none.csv") == ([], {})


def test_resumed_run_has_no_point_twice(tmp_path):
    with Journal(tmp_path, 4, 0) as journal:
        for step in range(3):
            journal.step(step, {"loss": step + 0.5})
        journal.held_out(2, {"loss": 9.0})
        journal.held_out(3, {"loss": 8.0})
    with Journal(tmp_path, 4, 2) as journal:  # the checkpoint was after two steps
        journal.step(2, {"loss": 2.25})
    losses = [("loss", 0, 0.5), ("loss", 1, 1.5), ("loss", 2, 2.25)]
    assert _points(tmp_path) == [("held-out/loss", 2, 9.0), *losses]


def test_progress_is_shown_from_the_first_step_on(tmp_path, capfd):
    with Journal(tmp_path, 4, 2) as journal:
        journal.step(2, {"loss": 0.125})
    assert "3/4" in capfd.readouterr().err


def test_trend_is_a_mean_of_the_neighbours_and_knows_no_nan():
    values = np.array([0.0, 3.0, 6.0, math.nan, 12.0])
    assert _smooth(values, 3) == pytest.approx([1.5, 3.0, 4.5, 9.0, 12.0])


def test_curves_show_trend_and_held_out_frames(tmp_path):
    import cv2

    log, held_out = Table(tmp_path / LOG, 0), Table(tmp_path / HELD_OUT, 0)
    for step in range(120):
        log.write(
            step, {"loss": math.exp(-step / 20), "nothing": math.nan, "constant": 1, "accuracy": step / 120}
        )
    held_out.write(60, {"loss": 0.2, "nothing": math.nan, "constant": 1, "accuracy": 0.4})
    draw_curves(tmp_path, tmp_path / CURVES)
    picture = cv2.imread(str(tmp_path / CURVES)).astype(int)
    assert picture.shape[0] > 600  # two rows of panels
    assert picture.shape[1] > 1400
    line, dot = np.array((189, 110, 10)), np.array((15, 72, 217))  # BGR
    assert (abs(picture - line).sum(2) < 30).sum() > 1000
    assert 30 < (abs(picture - dot).sum(2) < 30).sum() < 1000
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_no_curves_before_the_first_step(tmp_path):
    draw_curves(tmp_path, tmp_path / CURVES)
    assert not (tmp_path / CURVES).exists()
