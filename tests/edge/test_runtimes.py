# SPDX-License-Identifier: Apache-2.0
"""A runtime runs the encoder as asked, or says what is missing; it never runs something else."""

from __future__ import annotations

import sys

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto
from tiny_codec import expected_symbols, write_encoder

from frankensplit.edge import runtimes
from frankensplit.edge.runtimes import RuntimeOptions, choose_runtime, open_runtime, runtime_names
from frankensplit.errors import BundleError, ImageError, RuntimeUnavailable


def frame(height: int = 64, width: int = 96) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (1, height, width, 3), dtype=np.uint8)


@pytest.fixture
def model(tmp_path):
    return write_encoder(tmp_path / "encoder.onnx")


@pytest.mark.parametrize("threads", [1, 2])
def test_symbols_are_right_at_every_size(model, threads):
    runtime = open_runtime("onnxruntime", model, RuntimeOptions(threads))
    results = []
    for height, width in [(32, 32), (384, 480), (64, 96), (384, 480)]:
        pixels = frame(height, width)
        results.append((pixels, runtime(pixels)))
    for pixels, symbols in results:  # compared at the end: no result may be overwritten by a later frame
        assert symbols.dtype == np.int32
        np.testing.assert_array_equal(symbols[0], expected_symbols(pixels[0]))


def test_the_model_runs_on_one_thread_unless_told_otherwise(model):
    options = open_runtime("onnxruntime", model)._session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_a_fixed_size_is_held(tmp_path):
    runtime = open_runtime("onnxruntime", write_encoder(tmp_path / "fixed.onnx", shape=(1, 64, 96, 3)))
    assert runtime(frame(64, 96)).shape == (1, 3, 8, 12)
    with pytest.raises(ImageError, match=r"\(1, 64, 128, 3\), expected uint8 of \[1, 64, 96, 3\]"):
        runtime(frame(64, 128))


@pytest.mark.parametrize(
    "bad", [frame()[0], frame()[..., :2], frame().astype(np.float32), np.repeat(frame(), 2, axis=0)]
)
def test_foreign_frames_are_named(model, bad):
    with pytest.raises(ImageError, match="expected uint8"):
        open_runtime("onnxruntime", model)(bad)


def test_a_provider_that_is_missing_is_refused_by_name(model):
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    with pytest.raises(RuntimeUnavailable, match=r"has .*CPUExecutionProvider.*, not CUDAExecutionProvider"):
        open_runtime("onnxruntime-cuda", model)


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_provider_that_does_not_start_is_no_silent_cpu(model, monkeypatch):
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    with pytest.raises(RuntimeUnavailable, match="CUDAExecutionProvider did not start"):
        open_runtime("onnxruntime-cuda", model)


@pytest.mark.parametrize(
    "wrong", [{"shape": (1, "H", "W", 4)}, {"symbols": TensorProto.FLOAT}, {"symbols": TensorProto.INT64}]
)
def test_another_model_is_no_encoder(tmp_path, wrong):
    path = write_encoder(tmp_path / "other.onnx", **wrong)
    with pytest.raises(BundleError, match=r"expected tensor\(uint8\) \[1, H, W, 3\]"):
        open_runtime("onnxruntime", path)


@pytest.mark.parametrize("content", [b"", b"not a model", None])
def test_a_file_that_is_no_model_is_named(tmp_path, content):
    path = tmp_path / "broken.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BundleError, match=r"broken\.onnx"):
        open_runtime("onnxruntime", path)


def test_unknown_names_and_thread_counts(model):
    with pytest.raises(RuntimeUnavailable, match=r"'tpu'; choose one of .*onnxruntime"):
        open_runtime("tpu", model)
    with pytest.raises(RuntimeUnavailable, match="0 threads"):
        open_runtime("onnxruntime", model, RuntimeOptions(threads=0))


ABACUS = """
import numpy as np
from frankensplit.edge.runtimes import Probe

PREFERENCE = 100

def probe():
    return Probe({"beads": "1.0"})

class Runtime:
    def __init__(self, model_path, options):
        self.threads = options.threads

    def __call__(self, frame, scale=1.0):
        return np.full((1, 3, 1, 1), self.threads, np.int32)
"""


@pytest.fixture
def more_runtimes(tmp_path, monkeypatch):
    monkeypatch.setattr(runtimes, "__path__", [*runtimes.__path__, str(tmp_path)])
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith(f"{runtimes.__name__}.one_")]:
        del sys.modules[name]


def test_a_new_runtime_is_one_file(more_runtimes, model):
    (more_runtimes / "one_abacus.py").write_text(ABACUS, encoding="utf-8")
    assert "one-abacus" in runtime_names()
    assert choose_runtime() == "one-abacus"
    assert open_runtime("auto", model, RuntimeOptions(3))(frame()).item(0) == 3


def test_a_runtime_whose_package_is_missing_is_named(more_runtimes, model):
    (more_runtimes / "one_absent.py").write_text("import frankensplit_no_such_package", encoding="utf-8")
    with pytest.raises(RuntimeUnavailable, match=r"'one-absent' does not load.*frankensplit_no_such_package"):
        open_runtime("one-absent", model)
