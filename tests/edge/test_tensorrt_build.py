# SPDX-License-Identifier: Apache-2.0
"""Engines are built ahead: once, checked, told of, cancelled cleanly; by one process while others wait."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from fake_tensorrt import install
from tensorrt_setup import OneEncoder, build, cache_in, frame, open_tensorrt, write_levelled_encoder
from tiny_codec import expected_symbols, write_codec, write_encoder

from frankensplit.cli import main
from frankensplit.edge.tensorrt import reference
from frankensplit.edge.tensorrt.ahead import build_engines
from frankensplit.edge.tensorrt.build import Progress
from frankensplit.edge.tensorrt.container import Container
from frankensplit.edge.tensorrt.profile import Profile
from frankensplit.edge.tensorrt.reference import EngineWrong, Limit, Reference
from frankensplit.errors import BundleError, RuntimeUnavailable

HERE = Path(__file__).resolve().parent
TIMEOUT_S = 600  # long enough for a busy machine


@pytest.fixture
def fake(monkeypatch):
    return install(monkeypatch)


@pytest.fixture
def model(tmp_path):
    return write_encoder(tmp_path / "encoder.onnx")


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "frankensplit" / "engines" / "tensorrt"


@pytest.mark.parametrize("version", ["10.3.0", "10.16.1.11", "11.4.0.106"])
def test_the_builder_is_told_what_it_must_be(monkeypatch, model, tmp_path, version):
    fake = install(monkeypatch, version=version)
    (built,) = build(model, tmp_path)
    assert (built.fresh, built.kept, built.checked_by.split()[0]) == (True, True, "onnxruntime")
    assert fake.behaviour.builds == [{"workspace": 256 << 20, "tf32": False, "timings": b""}]
    assert fake.cudart.held == {}
    np.testing.assert_array_equal(open_tensorrt(model, tmp_path)(frame())[0], expected_symbols(frame()[0]))


def test_an_engine_is_built_once(fake, model, tmp_path):
    first, again = build(model, tmp_path)[0], build(model, tmp_path)[0]
    assert (first.fresh, again.fresh, first.path) == (True, False, again.path)
    assert len(fake.behaviour.builds) == 1


def test_what_was_learnt_of_kernels_helps_the_next_build(fake, model, tmp_path):
    build(model, tmp_path)
    build(model, tmp_path, Profile(32, 32))
    assert fake.behaviour.builds[1]["timings"].startswith(b"timings of ")
    (timings,) = (tmp_path / "tensorrt").glob("*.timings")
    timings.write_bytes(b"of another GPU")
    build(model, tmp_path, Profile(32, 64))
    assert fake.behaviour.builds[2]["timings"] == b""


def test_every_precision_and_size_is_built(fake, model, tmp_path):
    profiles = [Profile(64, 96), Profile(32, 32, fixed=True)]
    built = build_engines(OneEncoder(model), ["fp32"], profiles, cache_in(tmp_path))
    assert [one.profile for one in built] == profiles
    assert len(cache_in(tmp_path).names()) == 2


def test_what_the_parser_refuses_is_in_the_error(fake, model, tmp_path):
    fake.behaviour.refuses, fake.behaviour.says = {"parse"}, ["In node 7"]
    text = r"TensorRT 10\.3\.0 does not read the encoder: QLinearConv node_7: no plugin.*TensorRT says: In node 7"
    with pytest.raises(BundleError, match=text):
        build(model, tmp_path)
    model.write_bytes(b"not a model")
    fake.behaviour.refuses = set()
    with pytest.raises(BundleError, match="is not an encoder that is run here"):
        build(model, tmp_path)


def test_another_model_is_no_encoder(fake, tmp_path):
    other = write_encoder(tmp_path / "other.onnx", symbols=7)
    with pytest.raises(BundleError, match=r"expected frame INPUT UINT8 \(1, H, W, 3\)"):
        build(other, tmp_path)
    assert cache_in(tmp_path).names() == []


@pytest.mark.parametrize(
    "refused", ["build_serialized_network", "create_builder_config", "add_optimization_profile"]
)
def test_a_build_that_fails_says_why_and_keeps_nothing(fake, model, tmp_path, refused):
    fake.behaviour.refuses, fake.behaviour.says = {refused}, ["could not find any implementation"]
    with pytest.raises(RuntimeUnavailable, match="TensorRT says: could not find any implementation"):
        build(model, tmp_path)
    assert cache_in(tmp_path).names() == []


def test_an_engine_that_computes_something_else_is_built_once_more(fake, model, tmp_path, caplog):
    fake.behaviour.wrong = 1
    (built,) = build(model, tmp_path)
    assert (built.fresh, len(fake.behaviour.builds)) == (True, 2)
    assert "is built once more: engine differs from onnxruntime" in caplog.text
    np.testing.assert_array_equal(open_tensorrt(model, tmp_path)(frame())[0], expected_symbols(frame()[0]))


def test_and_then_is_an_error(fake, model, tmp_path):
    fake.behaviour.wrong = 2
    with pytest.raises(EngineWrong, match=r"in 100\.00% of the symbols, by 1 at most, expected 0\.50% and 1"):
        build(model, tmp_path)
    assert (len(fake.behaviour.builds), cache_in(tmp_path).names()) == (2, [])
    assert fake.cudart.held == {}


def test_a_kept_engine_that_is_bad_is_set_aside_and_built_again(fake, model, tmp_path):
    (built,) = build(model, tmp_path)
    built.path.write_bytes(built.path.read_bytes()[:-1])
    (again,) = build(model, tmp_path)
    assert (again.fresh, len(fake.behaviour.builds)) == (True, 2)
    assert built.path.with_suffix(".bad").exists()


def test_without_onnxruntime_an_engine_is_compared_with_itself(fake, model, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(reference, "compute", lambda *_: None)
    (built,) = build(model, tmp_path)
    assert built.checked_by == "this engine"
    assert "ONNX Runtime is not installed" in caplog.text
    assert open_tensorrt(model, tmp_path)(frame()).shape == (1, 3, 8, 12)


@pytest.mark.parametrize("half", [False, True])
def test_references_have_quality_levels_and_precisions(fake, tmp_path, half):
    model = write_levelled_encoder(tmp_path / "encoder.onnx", half=half)
    (built,) = build(model, tmp_path, precision="fp16" if half else "fp32")
    kept = Container.from_bytes(built.path.read_bytes()).description
    assert kept["precision"] == ("fp16" if half else "fp32")
    found = Reference.from_json(kept["reference"])
    assert (found.height, found.width, found.limit.step) == (64, 96, 2 if half else 1)
    assert len(np.unique(found.symbols)) > 10


def test_a_reference_allows_few_small_differences():
    symbols = np.arange(1000, dtype=np.int32).reshape(1, 10, 10, 10)
    kept = Reference(80, 80, symbols, "a test", Limit(0.01, 2))
    assert Reference.from_json(json.loads(json.dumps(kept.to_json()))).symbols.tolist() == symbols.tolist()
    few, many, far = (symbols.copy() for _ in range(3))
    few[0, 0, 0] += 2
    many[0, 0, :2] += 1
    far[0, 0, 0, 0] += 3
    kept.check(few)
    for other in (many, far, symbols[:, :5]):
        with pytest.raises(EngineWrong):
            kept.check(other)


def test_progress_never_falls_and_ends_at_one():
    progress, seen = Progress(), []
    progress.start("build", None, 2)
    for outer in range(2):
        progress.start("tactics", "build", 4)
        for step in range(4):
            assert progress.step("tactics", step)
            seen.append(progress.fraction)
        progress.finish("tactics")
        progress.step("build", outer)
        seen.append(progress.fraction)
    progress.finish("build")
    assert seen == sorted(seen) and seen[:2] == [0.125, 0.25] and progress.fraction == 1.0
    progress.cancelled.set()
    assert not progress.step("build", 0)


def test_an_interrupt_cancels_the_build_and_leaves_nothing(fake, model, tmp_path):
    def interrupt(engine, doing, fraction):
        if doing == "building":
            raise KeyboardInterrupt

    fake.behaviour.at_step = lambda: time.sleep(0.2)
    with pytest.raises(KeyboardInterrupt):
        build(model, tmp_path, told=interrupt)
    assert (fake.behaviour.builds, cache_in(tmp_path).names()) == ([], [])
    assert [one.suffix for one in (tmp_path / "tensorrt").iterdir()] == [".lock"]
    fake.behaviour.at_step = None
    assert build(model, tmp_path)[0].fresh


def process(*arguments: object, **options: object) -> subprocess.Popen:
    tests = os.pathsep.join([str(HERE.parents[1]), str(HERE.parent)])
    command = [sys.executable, str(HERE / "build_on_fakes.py"), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": tests, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, **options)


def result(one: subprocess.Popen) -> tuple[list[str], dict]:
    lines = one.communicate(timeout=TIMEOUT_S)[0].splitlines()
    assert one.returncode == 0
    return lines, json.loads(lines[-1])


def say(one: subprocess.Popen, wanted: str) -> None:
    """Wait until a process says this."""
    while one.stdout.readline() != f"{wanted}\n":
        assert one.poll() is None


def test_of_two_processes_one_builds_and_the_other_waits(model, tmp_path):
    gate = tmp_path / "gate"
    first = process(model, tmp_path, gate)
    say(first, "building")
    second = process(model, tmp_path)
    say(second, "built by another process")
    gate.touch()
    (_, one), (_, other) = result(first), result(second)
    assert (one["fresh"], one["builds"]) == (True, 1)
    assert (other["fresh"], other["builds"]) == (False, 0)
    assert one["sum"] == other["sum"]


@pytest.mark.parametrize("inherited", [signal.SIG_DFL, signal.SIG_IGN])
def test_ctrl_c_ends_a_process_that_builds(model, tmp_path, inherited):
    one = process(model, tmp_path, "never", preexec_fn=lambda: signal.signal(signal.SIGINT, inherited))
    say(one, "building")
    one.send_signal(signal.SIGINT)
    assert result(one)[1] == {"cancelled": True}
    assert [path.suffix for path in (tmp_path / "tensorrt").iterdir()] == [".lock"]


def test_the_command_builds_and_says_where(fake, cache, tmp_path, capsys):
    folder = write_codec(tmp_path / "codec", nominal_height=60, nominal_width=90)
    assert main(["export", str(folder), "--tensorrt", "--json", str(tmp_path / "out.json")]) == 0
    (engine,) = cache.glob("*.engine")
    assert "fp32 96x64  built, checked by onnxruntime" in capsys.readouterr().out
    (told,) = json.loads((tmp_path / "out.json").read_text())["engines"]
    assert (told["path"], told["fresh"], told["kept"], told["size"]) == (str(engine), True, True, "96x64")
    assert main(["export", str(folder), "--tensorrt", "--size", "30x40", "--size", "96x64", "--fixed"]) == 0
    out = capsys.readouterr().out
    assert "32x64-fixed  built" in out and "96x64-fixed  built" in out
    assert main(["export", str(folder), "--tensorrt"]) == 0
    assert "96x64  was there" in capsys.readouterr().out


def test_the_command_fails_where_nothing_can_be_kept(fake, cache, tmp_path, capsys, monkeypatch):
    folder = write_codec(tmp_path / "codec", nominal_height=32, nominal_width=32)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert main(["export", str(folder), "--tensorrt"]) == 1
    assert "NOT KEPT" in capsys.readouterr().out
    assert list(cache.glob("*.engine")) == []


def test_the_command_says_what_is_missing(fake, cache, tmp_path, capsys):
    folder = write_codec(tmp_path / "codec")
    fake.cudart.fail("cudaGetDeviceCount", 35)
    assert main(["export", str(folder), "--tensorrt"]) == 2
    assert "no GPU can be used" in capsys.readouterr().err
    for wrong in (["--size", "480"], []):
        with pytest.raises(SystemExit) as caught:
            main(["export", str(folder), *wrong])
        assert caught.value.code == 2
    assert "OUT, the folder of the bundle, is missing" in capsys.readouterr().err


def test_a_foreign_precision_is_named(fake, cache, tmp_path, capsys):
    folder = write_codec(tmp_path / "codec")
    assert main(["export", str(folder), "--tensorrt", "--precision", "fp4"]) == 2
    assert "no encoder of precision 'fp4'" in capsys.readouterr().err
