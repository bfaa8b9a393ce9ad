# SPDX-License-Identifier: Apache-2.0
"""Damaged checkpoints, full disks, folders of others: one line, nothing half-written taken for good."""

from __future__ import annotations

import errno
import io
import os
import pickle
import resource
import subprocess
import sys
import zipfile
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning_fabric")

import torch
from torch import nn

from frankensplit.errors import DataError, OutputError, RecipeError
from frankensplit.evaluation.records import FrameRecord, load_records, load_results, save_records
from frankensplit.training.finished import read_json
from frankensplit.training.loop import checkpoint
from frankensplit.training.loop.checkpoint import (
    TrainingProgress,
    held,
    is_finished,
    load_weights,
    save,
    save_weights,
)
from frankensplit.training.loop.figures import StepTable, read_table
from frankensplit.training.loop.stepper import Stepper
from frankensplit.writing import write_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "training"))

from toys import color_task, schedule

DEAD = 4_194_304  # above the largest process id of Linux
RECIPE = {"name": "run", "schedule": {"steps": 12}}


class Malice:
    """Runs code where it is unpickled."""

    def __reduce__(self):
        return os._exit, (66,)


def _saved(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def _zip():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("thesis.txt", "years")
    return buffer.getvalue()


WHOLE = _saved({"recipe": RECIPE, "task": {"a": torch.zeros(300)}, "average": None})
DAMAGED = {
    "empty": b"",
    "cut": WHOLE[: len(WHOLE) // 2],
    "text": b"not a checkpoint\n" * 9,
    "another zip": _zip(),
    "pickle with code": pickle.dumps(Malice()),
    "zip with code": _saved({"recipe": RECIPE, "task": Malice()}),
    "a list": _saved([1, 2]),
    "no recipe": _saved({"weights": {}}),
    "no weights": _saved({"recipe": RECIPE}),
    "weights without names": _saved({"recipe": RECIPE, "weights": [1]}),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_checkpoint_is_named_and_stays(tmp_path, damage):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(DAMAGED[damage])
    for read in (load_weights, lambda run: checkpoint.resume(run, _stepper(), None, RECIPE)):
        with pytest.raises(
            RecipeError, match=r"checkpoint\.pt is not a checkpoint, or a damaged one"
        ) as caught:
            read(tmp_path)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    assert path.read_bytes() == DAMAGED[damage]


@pytest.mark.parametrize("key", ["task", "optimiser", "step", "average"])
def test_a_checkpoint_of_other_networks_is_named(tmp_path, key):
    average = torch.optim.swa_utils.AveragedModel(color_task())
    save(tmp_path, _stepper(), average, RECIPE, TrainingProgress(6))
    assert checkpoint.resume(tmp_path, _stepper(), average, RECIPE).step == 6
    assert not is_finished(tmp_path, RECIPE)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    torch.save({**state, key: {"other": torch.zeros(2)}}, tmp_path / "checkpoint.pt")
    with pytest.raises(RecipeError, match="damaged"):
        checkpoint.resume(tmp_path, _stepper(), average, RECIPE)


def _stepper():
    return Stepper(color_task(), schedule(), "cpu")


@contextmanager
def _small_disk(bytes_a_file):
    """Let no file grow beyond some bytes, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_a_file, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_keeps_the_last_whole_checkpoint(tmp_path):
    small, large = nn.Linear(2, 2), nn.Linear(300, 300)
    path = tmp_path / "checkpoint.pt"
    save_weights(path, small, RECIPE)
    with (
        _small_disk(20_000),
        pytest.raises(OutputError, match=r"cannot write .*checkpoint\.pt: .*; free space"),
    ):
        save_weights(path, large, RECIPE)
    assert [one.name for one in tmp_path.iterdir()] == ["checkpoint.pt"]
    assert load_weights(tmp_path)[0]["weight"].shape == (2, 2)
    save_weights(path, large, RECIPE)
    assert load_weights(tmp_path)[0]["weight"].shape == (300, 300)


def test_an_interrupted_write_leaves_the_last_whole_file(tmp_path, monkeypatch):
    write_file(tmp_path / "run.json", "whole")
    monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_file(tmp_path / "run.json", "half")
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("run.json", "whole")]


def test_a_run_sweeps_what_dead_processes_left(tmp_path):
    run = tmp_path / "run"
    (run / "codec").mkdir(parents=True)
    left = [run / f".checkpoint.pt.{DEAD}.frankensplit", run / "codec" / f".tables.npz.{DEAD}.frankensplit"]
    living = run / f".checkpoint.pt.{os.getppid()}.frankensplit"
    for path in (*left, living, run / "checkpoint.pt"):
        path.write_bytes(b"half")
    with held(run):
        assert {path for path in run.rglob("*") if path.is_file()} == {living, run / "checkpoint.pt"}


def test_one_process_trains_a_run(tmp_path):
    with held(tmp_path / "run"):
        code = "import sys; from frankensplit.training.loop.checkpoint import held; held(sys.argv[1]).__enter__()"
        code = code.replace("sys.argv[1]", "__import__('pathlib').Path(sys.argv[1])")
        other = [sys.executable, "-c", code, str(tmp_path / "run")]
        ended = subprocess.run(other, capture_output=True, text=True, timeout=120, check=False)
        assert "another process writes there now" in ended.stderr


def test_only_the_first_of_several_processes_holds_the_run(tmp_path, monkeypatch):
    with held(tmp_path / "run"):
        monkeypatch.setenv("RANK", "1")
        assert isinstance(held(tmp_path / "run"), nullcontext)


@pytest.mark.parametrize("name", ["thesis.txt", "tensorboard/deep/thesis.txt", ".notes.2024", "codec"])
def test_a_run_is_not_trained_into_a_folder_of_others(tmp_path, name):
    mine = tmp_path / "run" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("years")
    with pytest.raises(OutputError, match="not part of a run of a training"), held(tmp_path / "run"):
        pass
    assert mine.read_text() == "years"


def test_a_run_is_not_trained_into_a_file(tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(OutputError, match="is a file, expected a folder"), held(tmp_path / "runs" / "run"):
        pass


@pytest.mark.parametrize(
    "end", ["2,0.5", "2,0.5,", "2,0.5,abc\n3,1,1\n", "\0\0\0\n", "2,0.5\n3,0.5,0.5\n", "\xff\n"]
)
def test_a_row_that_a_full_disk_cut_is_dropped(tmp_path, end):
    path = tmp_path / "log.csv"
    path.write_text("step,loss,twice\n0,1,2\n1,nan,inf\n" + end)
    assert read_table(path)[0] == [0, 1]
    StepTable(path, 9).write(2, {"loss": 0.25, "twice": 0.5})
    assert read_table(path)[0] == [0, 1, 2]


@pytest.mark.parametrize("content", ["", "[]", '{"cut": ', "[" * 100_000, None])
def test_a_damaged_file_of_a_run_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "labels.json").write_text(content)
    with pytest.raises(RecipeError, match=r"labels\.json"):
        read_json(tmp_path / "labels.json")


@pytest.mark.parametrize("content", [b"", b"PK\3\4 cut", _zip(), pickle.dumps(Malice())])
def test_a_damaged_part_of_an_evaluation_is_named(tmp_path, content):
    path = tmp_path / "part.npz"
    save_records(path, [FrameRecord("f", 1, 2, {})])
    assert load_records(path)[0].key == "f"
    path.write_bytes(content)
    for load in (load_records, lambda one: load_results(one, {})):
        with pytest.raises(DataError, match=r"part\.npz is damaged .*: remove it"):
            load(path)


MAIN = "import sys; from frankensplit.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("json_to", ["-", "/dev/full"])
def test_a_full_device_is_one_line(bundle_path, json_to):
    command = [sys.executable, "-c", MAIN, "info", str(bundle_path), "--json", json_to]
    with open("/dev/full", "w") as full:  # noqa: PTH123
        ended = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120, check=False
        )
    *_, line = ended.stderr.strip().splitlines()
    assert ended.returncode == 2 and line.startswith("frankensplit info: ")
    assert os.strerror(errno.ENOSPC) in line and "Traceback" not in ended.stderr
