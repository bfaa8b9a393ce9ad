# SPDX-License-Identifier: Apache-2.0
"""What a run tells: tables without a lost end, events without doubles."""

from __future__ import annotations

import math
import struct

import pytest
from tensorboardX.proto.event_pb2 import Event

from frankensplit.training.loop.figures import StepTable, read_table
from frankensplit.training.loop.journal import TrainingLog


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
    table = StepTable(path, 0)
    for step in range(5):
        table.write(step, {"loss": step / 3, "rate": math.nan})
    StepTable(path, 3).write(3, {"loss": 7, "rate": 8})
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
    StepTable(tmp_path / "t.csv", 0).write(0, {"old": 1})
    StepTable(tmp_path / "t.csv", 0).write(0, {"new": 2})
    assert (tmp_path / "t.csv").read_text() == "step,new\n0,2\n"
    assert read_table(tmp_path / "none.csv") == ([], {})


def test_resumed_run_has_no_point_twice(tmp_path):
    with TrainingLog(tmp_path, 4, 0) as journal:
        for step in range(3):
            journal.step(step, {"loss": step + 0.5})
        journal.held_out(2, {"loss": 9.0})
        journal.held_out(3, {"loss": 8.0})
    with TrainingLog(tmp_path, 4, 2) as journal:  # the checkpoint was after two steps
        journal.step(2, {"loss": 2.25})
    losses = [("loss", 0, 0.5), ("loss", 1, 1.5), ("loss", 2, 2.25)]
    assert _points(tmp_path) == [("held-out/loss", 2, 9.0), *losses]


def test_progress_is_shown_from_the_first_step_on(tmp_path, capfd):
    with TrainingLog(tmp_path, 4, 2) as journal:
        journal.step(2, {"loss": 0.125})
    assert "3/4" in capfd.readouterr().err
