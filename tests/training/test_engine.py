# SPDX-License-Identifier: Apache-2.0
"""The loop: a resumed run equals an uninterrupted one, NaN stops it, other recipes are refused, the best is kept."""

from __future__ import annotations

import csv
import json
import math

import pytest
import torch
from lightning_fabric import Fabric
from toys import color_batches, color_task, schedule

from frankensplit.errors import RecipeError
from frankensplit.training.loop.checkpoint import BEST, load_weights
from frankensplit.training.loop.engine import fit
from frankensplit.training.loop.processes import Autocast
from frankensplit.training.tasks.base import TrainingStopped

RECIPE = {"name": "run"}


def _fit(run, task=None, recipe=RECIPE, batches=None, held_out=None, **values):
    plan = schedule(**values)
    fit(task or color_task(), batches or color_batches(plan.steps), plan, run, recipe, "cpu", held_out)


def _rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_resumed_run_equals_uninterrupted(tmp_path, noise):
    held_out = color_batches(2, seed=9)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    _fit(whole, color_task(noise=noise), held_out=held_out)
    with pytest.raises(TrainingStopped, match="step 6"):
        _fit(cut, color_task(noise=noise, poison=(7, math.nan)), held_out=held_out)
    _fit(cut, color_task(noise=noise), held_out=held_out)
    weights = [load_weights(run)[0] for run in (whole, cut)]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    for table in ("log.csv", "held-out.csv"):
        assert (whole / table).read_text() == (cut / table).read_text()


def test_noise_differs_by_step_and_not_by_what_was_drawn_before(tmp_path):
    for name in ("one", "other"):
        torch.manual_seed(len(name))
        task = color_task(noise=0.5)
        torch.rand(len(name))
        _fit(tmp_path / name, task, lr=1e-9, ema=None, batches=color_batches(12))
    one, other = (_rows(tmp_path / name / "log.csv") for name in ("one", "other"))
    assert one == other
    assert len({row["loss"] for row in one}) == len(one)


def test_log_has_a_row_a_step_and_loss_falls(tmp_path):
    _fit(tmp_path / "run")
    rows = _rows(tmp_path / "run" / "log.csv")
    assert [int(row["step"]) for row in rows] == list(range(12))
    assert [float(row["progress"]) for row in rows[:4]] == pytest.approx(
        [0, 1 / 12, 2 / 12, 3 / 12], rel=1e-5
    )
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])


def test_learning_rate_rises_then_falls_to_the_final_one(tmp_path):
    """One weight, a gradient that only has a sign: Adam moves by the learning rate (and the first steps exactly so)."""
    _fit(tmp_path / "run", steps=5, ema=None, warmup=2, lr=0.5, final_lr=0.1, checkpoint_every=5)
    state = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    last_share = (4 - 2) / (5 - 2)
    expected = 0.1 + 0.4 * (1 + math.cos(math.pi * last_share)) / 2
    assert state["optimiser"]["param_groups"][0]["lr"] == pytest.approx(expected)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_loss_that_is_not_finite_names_the_frames_and_keeps_the_checkpoint(tmp_path, value):
    with pytest.raises(TrainingStopped) as stop:
        _fit(tmp_path / "run", color_task(poison=(7, value)))
    message = str(stop.value)
    assert "step 6: loss" in message
    assert color_batches().describe(6) in message
    assert "the first 4 steps" in message
    weights = load_weights(tmp_path / "run")[0]
    assert all(torch.isfinite(weight).all() for weight in weights.values())


def test_gradient_that_is_not_finite_stops_before_it_is_applied(tmp_path):
    task = color_task()
    task.color.weight.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(TrainingStopped, match=r"step 0: gradient norm not finite \(loss 0\.\d+"):
        _fit(tmp_path / "run", task)
    assert torch.isfinite(task.color.weight).all()


def test_run_of_another_recipe_is_refused(tmp_path):
    _fit(tmp_path / "run", recipe={"name": "run", "seed": 1})
    with pytest.raises(RecipeError, match="seed"):
        _fit(tmp_path / "run", recipe={"name": "run", "seed": 2})


def test_how_a_run_is_watched_may_change(tmp_path):
    _fit(tmp_path / "run", recipe={"name": "run", "schedule": {"lr": 1, "checkpoint_every": 4}})
    _fit(tmp_path / "run", recipe={"name": "run", "schedule": {"lr": 1, "checkpoint_every": 3}})
    with pytest.raises(RecipeError, match="schedule"):
        _fit(tmp_path / "run", recipe={"name": "run", "schedule": {"lr": 2, "checkpoint_every": 4}})


def test_nothing_to_train_is_an_error(tmp_path):
    task = color_task()
    task.requires_grad_(False)
    with pytest.raises(RecipeError, match="all are frozen"):
        _fit(tmp_path / "run", task)


def test_run_without_checkpoint_is_named(tmp_path):
    with pytest.raises(RecipeError, match="train that run first"):
        load_weights(tmp_path)


def test_weights_are_kept_by_step_and_by_prefix(tmp_path):
    _fit(tmp_path / "run", keep_every=5)
    _fit(tmp_path / "short", steps=5, recipe=RECIPE, batches=color_batches(5), lr=0.05)
    assert sorted(path.name for path in (tmp_path / "run").glob("step-*")) == [
        "step-000005.pt",
        "step-000010.pt",
    ]
    early = load_weights(tmp_path / "run", "color.", step=5)[0]
    last = load_weights(tmp_path / "run", "color.")[0]
    assert set(early) == {"weight", "bias"}
    assert not torch.equal(early["weight"], last["weight"])
    with pytest.raises(RecipeError, match=r"step-000007\.pt"):
        load_weights(tmp_path / "run", step=7)


def test_best_on_held_out_frames_is_kept(tmp_path):
    """The rate is far too high in the end: the best weights are early ones."""
    held_out = color_batches(3, seed=9)
    run = tmp_path / "run"
    _fit(run, held_out=held_out, keep="best", keep_every=4, ema=None, lr=0.05, final_lr=30.0, warmup=0)
    rows = _rows(run / "held-out.csv")
    assert [row["step"] for row in rows] == ["4", "8", "12"]
    best = min(rows, key=lambda row: float(row["loss"]))
    assert best["step"] != "12"
    expected, found = load_weights(run, step=int(best["step"]))[0], load_weights(run)[0]
    assert (run / BEST).is_file()
    assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_held_out_loss_is_that_of_the_averaged_weights(tmp_path):
    held_out = color_batches(3, seed=9)
    _fit(tmp_path / "run", held_out=held_out)
    task = color_task()
    task.load_state_dict(load_weights(tmp_path / "run")[0])
    expected = sum(task.loss(held_out[i], 1.0)[0].item() for i in range(3)) / 3
    row = _rows(tmp_path / "run" / "held-out.csv")[-1]
    assert float(row["loss"]) == pytest.approx(expected, rel=1e-4)
    assert float(row["progress"]) == 1.0


def test_best_needs_held_out_frames(tmp_path):
    with pytest.raises(RecipeError, match="held out"):
        _fit(tmp_path / "run", keep="best")


def test_time_and_memory_are_told_and_summed_over_sessions(tmp_path, capfd):
    run = tmp_path / "run"
    with pytest.raises(TrainingStopped):
        _fit(run, color_task(poison=(7, math.nan)))
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    torch.save({**state, "seconds": 1000.06}, run / "checkpoint.pt")
    _fit(run)
    cost = json.loads((run / "run.json").read_text())
    assert 1000 < cost["seconds"] < 1100
    assert 0 < cost["ms_per_step"] < 1000
    assert 50 < cost["peak_memory_mb"] < 100_000
    assert (cost["steps"], cost["device"], cost["world"]) == (12, "cpu", 1)
    assert f"run: 12 steps in {cost['seconds']:.0f} s" in capfd.readouterr().err


def test_finished_run_is_left_alone(tmp_path):
    run = tmp_path / "run"
    _fit(run)
    before = {path: path.stat().st_mtime_ns for path in run.iterdir()}
    _fit(run)
    assert {path: path.stat().st_mtime_ns for path in run.iterdir()} == before


def test_fp16_needs_a_gpu(tmp_path):
    with pytest.raises(RecipeError, match="bf16"):
        _fit(tmp_path / "run", precision="fp16")


@pytest.fixture
def fp16_on_cpu(monkeypatch):
    """Let a CPU do what is left to GPUs, at a loss scale of a given power of two."""

    def begin(scale):
        def open_fabric(device, precision):
            scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=5)
            fabric = Fabric(accelerator="cpu", devices=1, plugins=[Autocast("16-mixed", "cpu", scaler)])
            fabric.launch()
            return fabric

        monkeypatch.setattr("frankensplit.training.loop.stepper.open_fabric", open_fabric)

    return begin


def test_fp16_searches_its_scale_and_resumes_with_it(tmp_path, fp16_on_cpu):
    fp16_on_cpu(2.0**24)  # the first gradients overflow
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    _fit(whole, precision="fp16", steps=20)
    with pytest.raises(TrainingStopped, match="loss"):
        _fit(cut, color_task(poison=(15, math.nan)), precision="fp16", steps=20)
    _fit(cut, precision="fp16", steps=20)
    states = [torch.load(run / "checkpoint.pt", weights_only=True) for run in (whole, cut)]
    assert states[0]["precision"] == states[1]["precision"]
    assert states[0]["precision"]["scale"] < 2.0**24
    assert 0 < states[0]["optimiser"]["state"][1]["step"] < 20  # some steps were skipped
    assert all(torch.equal(states[0]["task"][key], states[1]["task"][key]) for key in states[0]["task"])
    assert all(torch.isfinite(value).all() for value in states[0]["task"].values())


def test_fp16_stops_when_no_scale_helps(tmp_path, fp16_on_cpu):
    fp16_on_cpu(4.0)
    task = color_task()
    task.color.weight.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(TrainingStopped, match="step 2: gradient norm not finite"):
        _fit(tmp_path / "run", task, precision="fp16")


def test_bf16_is_for_operations_and_leaves_weights_and_targets(tmp_path):
    task, seen = color_task(), []
    original = task.loss

    def loss(batch, progress):
        seen.append(task.color(torch.ones(1, 3)).dtype)
        return original({**batch, "image": batch["image"]}, progress)

    task.loss = loss
    _fit(tmp_path / "run", task, precision="bf16")
    assert set(seen) == {torch.bfloat16}
    assert {weight.dtype for weight in load_weights(tmp_path / "run")[0].values()} == {torch.float32}
