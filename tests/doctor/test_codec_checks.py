# SPDX-License-Identifier: Apache-2.0
"""Coder, bundle, runtimes and frames: what works, and each thing that may not."""

from __future__ import annotations

import logging
import sys

import numpy as np
import onnxruntime
import pytest

from frankensplit.codec import rans
from frankensplit.doctor import FAULT, NOTE, OK
from frankensplit.doctor.checks import bundle, coder, frames, runtimes
from frankensplit.edge import runtimes as edge_runtimes


@pytest.mark.parametrize(("implementation", "level"), [("c", OK), ("python", FAULT)])
def test_a_coder_in_python_is_a_fault(made_up, monkeypatch, implementation, level):
    monkeypatch.setattr(rans, "IMPLEMENTATION", implementation)
    assert made_up.find(coder.check)["coder"].level == level


def test_a_codec_is_all_that_a_robot_needs(with_codec):
    found = with_codec.find(bundle.check)
    assert {finding.level for finding in found.values()} == {OK}
    assert "all that a robot needs" in found["bundle"].text
    assert found["precisions"].text == "fp32"


def test_a_bundle_without_its_server_is_fine(made_up, codec_folder, tmp_path):
    robot = tmp_path / "robot"
    robot.mkdir()
    codec_folder.rename(robot / "codec")
    (robot / "manifest.json").write_text("{}")
    made_up.told["bundle"] = str(robot)
    assert made_up.find(bundle.check)["bundle"].level == OK


def test_the_installed_bundle_is_taken_where_none_is_named(made_up, bundle_path):
    finding = made_up.find(bundle.check)["bundle"]
    assert (finding.level, str(bundle_path) in finding.text) == (OK, True)


def test_none_installed_is_a_note(made_up, monkeypatch):
    monkeypatch.setattr(bundle, "INSTALLED", "no-such-bundle")
    assert made_up.find(bundle.check)["bundle"].level == NOTE


@pytest.mark.parametrize("name", ["encoder.onnx", "tables.npz", "codec.json"])
def test_a_changed_file_is_a_fault(with_codec, codec_folder, name):
    content = (codec_folder / name).read_bytes()
    (codec_folder / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    finding = with_codec.find(bundle.check)["bundle"]
    assert (finding.level, name in finding.text) == (FAULT, True)
    assert list(frames.check(with_codec.machine)) == []


def test_a_bundle_that_is_not_there_is_a_fault(made_up):
    made_up.told["bundle"] = "/no/such/bundle"
    assert made_up.find(bundle.check)["bundle"].level == FAULT


def test_auto_says_what_it_takes_and_why(with_codec):
    found = with_codec.find(runtimes.check)
    assert set(found) == {*edge_runtimes.runtime_names(), "auto"}
    taken = found["auto"].figures["runtime"]
    assert found["auto"].text.startswith(f"takes {taken}")
    assert all(found[name].level == OK or name != taken for name in found)
    assert all(f"not {name}: " in found["auto"].text for name in found["auto"].figures["refused"])


@pytest.fixture
def more_runtimes(tmp_path, monkeypatch):
    folder = tmp_path / "runtimes"
    folder.mkdir()
    monkeypatch.setattr(edge_runtimes, "__path__", [*edge_runtimes.__path__, str(folder)])
    yield lambda name, text: (folder / f"{name}.py").write_text(text, encoding="utf-8")
    for name in [name for name in sys.modules if name.startswith(f"{edge_runtimes.__name__}.one_")]:
        del sys.modules[name]


OTHER = """
from frankensplit.edge.runtimes import Probe, onnxruntime
from frankensplit.errors import RuntimeUnavailable

PREFERENCE = 100

def probe():
    return Probe({"other": "1.0"})

class Runtime(onnxruntime.Runtime):
"""
REFUSES = OTHER + "    def __init__(self, *_): raise RuntimeUnavailable('no engine: build one')"
WRONG = OTHER + "    def _run(self, inputs): return super()._run(inputs) + 1"
FAILS = OTHER + "    def _run(self, inputs): raise ValueError('lost the device')"


def test_a_runtime_that_does_not_load_is_a_fault(with_codec, more_runtimes):
    more_runtimes("one_broken", "import frankensplit_no_such_package")
    found = with_codec.find(runtimes.check)
    assert found["one-broken"].level == FAULT
    assert found["auto"].level == OK


def test_auto_names_a_runtime_without_an_engine(with_codec, more_runtimes, caplog):
    more_runtimes("one_other", REFUSES)
    with caplog.at_level(logging.CRITICAL):
        found = with_codec.find(runtimes.check)
    assert found["one-other"].level == OK
    assert "not one-other: no engine: build one" in found["auto"].text
    assert with_codec.find(frames.check)["one-other fp32"].level == NOTE


@pytest.mark.parametrize("has_codec", [True, False])
def test_an_unknown_runtime_is_a_fault(made_up, codec_folder, has_codec):
    made_up.told |= {"bundle": str(codec_folder if has_codec else "/no/such"), "runtime": "tpu"}
    finding = made_up.find(runtimes.check)["tpu"]
    assert (finding.level, "choose one of" in finding.text) == (FAULT, True)


@pytest.mark.parametrize("has_codec", [True, False])
@pytest.mark.parametrize(("name", "level"), [("onnxruntime", OK), ("onnxruntime-cuda", FAULT)])
def test_the_runtime_chosen_must_work(made_up, codec_folder, has_codec, name, level):
    if level == FAULT and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    made_up.told |= {"bundle": str(codec_folder if has_codec else "/no/such"), "runtime": name}
    *_, choice = runtimes.check(made_up.machine)
    assert (choice.name, choice.level) == (name, level)


@pytest.mark.parametrize("has_codec", [True, False])
def test_no_runtime_is_a_fault(made_up, codec_folder, monkeypatch, has_codec):
    made_up.told["bundle"] = str(codec_folder if has_codec else "/no/such")
    for name in ("onnxruntime", "tensorrt"):
        monkeypatch.setitem(sys.modules, name, None)
    finding = made_up.find(runtimes.check)["auto"]
    assert (finding.level, "pip install onnxruntime" in finding.remedy) == (FAULT, True)
    assert [finding.level for finding in made_up.find(frames.check).values()] == [NOTE] * has_codec


def test_an_encoder_that_is_none_is_a_fault(with_codec, monkeypatch):
    codec = bundle.open_codec(with_codec.machine)
    codec.encoder_path.write_bytes(b"no model")
    monkeypatch.setattr(runtimes, "open_codec", lambda _machine: codec)
    finding = with_codec.find(runtimes.check)["auto"]
    assert (finding.level, "does not open the encoder" in finding.text) == (FAULT, True)


def test_a_frame_is_timed_and_compared(with_codec):
    finding = with_codec.find(frames.check)["onnxruntime fp32"]
    assert finding.level == OK
    assert finding.figures["flip_rate"] == 0
    assert finding.figures["frame_ms"] > 0
    assert "480x384" in finding.text


@pytest.mark.parametrize(
    ("text", "says"), [(WRONG, "100.00 % of symbols differ"), (FAILS, "lost the device")]
)
def test_a_runtime_that_gives_wrong_symbols_or_none_is_a_fault(with_codec, more_runtimes, text, says):
    more_runtimes("one_other", text)
    found = with_codec.find(frames.check)
    assert (found["one-other fp32"].level, says in found["one-other fp32"].text) == (FAULT, True)
    assert found["onnxruntime fp32"].level == OK


def test_the_picture_is_the_same_each_time():
    picture = frames.make_picture(64, 96)
    assert (picture.dtype, picture.shape) == (np.uint8, (1, 64, 96, 3))
    np.testing.assert_array_equal(picture, frames.make_picture(64, 96))
