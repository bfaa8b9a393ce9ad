# SPDX-License-Identifier: Apache-2.0
"""Two processes on one machine give what one gives."""

from __future__ import annotations

import csv
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from toys import color_batches, color_task, schedule

from frankensplit.errors import RecipeError
from frankensplit.training.loop.checkpoint import load_weights
from frankensplit.training.loop.engine import fit
from frankensplit.training.loop.processes import first_process_first, open_fabric


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """The folder that two processes trained in, started with the environment that torchrun gives them."""
    folder = tmp_path_factory.mktemp("together")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    command = [sys.executable, str(Path(__file__).with_name("train_toy.py")), str(folder)]
    processes = [
        subprocess.Popen(
            command,
            env={**os.environ, **shared, "RANK": rank, "LOCAL_RANK": rank, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    said = [process.communicate(timeout=240)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    return folder, said


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    run = tmp_path_factory.mktemp("alone") / "run"
    plan = schedule(40, sanity_steps=4, keep="best")
    fit(color_task(), color_batches(40, batch=4), plan, run, {}, "cpu", held_out=color_batches(2, 4, seed=9))
    return run


def test_weights_equal_those_of_one_process(together, alone):
    one = torch.load(alone / "checkpoint.pt", weights_only=True)
    two = torch.load(together[0] / "run" / "checkpoint.pt", weights_only=True)
    assert set(one["task"]) == set(two["task"]) == {"color.weight", "color.bias", "unused"}
    for kind in ("task", "average"):
        assert all(torch.allclose(one[kind][key], two[kind][key], rtol=0, atol=1e-5) for key in one[kind])
    best = [load_weights(run)[0] for run in (alone, together[0] / "run")]
    assert all(torch.allclose(best[0][key], best[1][key], rtol=0, atol=1e-5) for key in best[0])


@pytest.mark.parametrize("table", ["log.csv", "held-out.csv"])
def test_figures_are_means_over_both_and_written_once(together, alone, table):
    one, two = (list(csv.DictReader((run / table).open())) for run in (alone, together[0] / "run"))
    assert [row["step"] for row in one] == [row["step"] for row in two]
    for expected, found in zip(one, two, strict=True):
        assert float(found["loss"]) == pytest.approx(float(expected["loss"]), rel=1e-3, abs=1e-6)
        assert float(found["twice"]) == pytest.approx(2 * float(found["loss"]), rel=1e-3)


def test_only_the_first_process_speaks(together):
    first, second = together[1]
    assert "run: 40 steps in" in first
    assert "overfitting one batch" in first
    assert second == ""


def test_run_tells_how_many_processes_it_took(together):
    assert json.loads((together[0] / "run" / "run.json").read_text())["world"] == 2


def test_first_process_prepares_first(together):
    assert (together[0] / "order").read_text() == "0 on cpu\n1 on cpu\n"


def test_nan_of_one_process_stops_both(together):
    for rank in (0, 1):
        message = (together[0] / f"stopped-{rank}").read_text()
        assert "step 2: loss" in message
        assert color_batches().describe(2) in message


def test_one_process_prepares_at_once():
    with first_process_first("cpu") as device:
        assert device == "cpu"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_missing_gpu_is_named():
    with pytest.raises(RecipeError, match="cuda"):
        open_fabric("cuda")
