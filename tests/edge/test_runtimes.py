# SPDX-License-Identifier: Apache-2.0
"""A runtime runs the encoder as asked, or says what is missing; it never runs something else."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from tiny_codec import expected_symbols, write_encoder

from frankensplit.edge import runtimes
from frankensplit.edge.runtimes import (
    RuntimeOptions,
    onnxruntime_cuda,
    onnxruntime_tensorrt,
    open_chosen,
    open_runtime,
    probe_runtime,
    runtime_names,
    weigh_runtimes,
)
from frankensplit.edge.runtimes.onnxruntime import Runtime, open_session
from frankensplit.errors import BundleError, ImageError, RuntimeUnavailable


def frame(height: int = 64, width: int = 96) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (1, height, width, 3), dtype=np.uint8)


def test_onnx_runtime_reports_to_nobody(model):
    environment = {**os.environ, "XDG_CACHE_HOME": "/proc/nowhere"}
    environment.pop("ORT_DISABLE_TELEMETRY", None)  # which this process has by now
    code = (
        "import sys; from pathlib import Path; from frankensplit.edge.runtimes.onnxruntime import CPU, open_session; "
        "open_session(Path(sys.argv[1]), [(CPU, {})], 1)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, model], env=environment, capture_output=True, text=True
    )
    assert (said.returncode, said.stderr) == (0, "")


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


@pytest.fixture
def scaled_model(tmp_path, model):
    """Write the encoder with a second input that its latent is multiplied by."""
    graph = onnx.load(model)
    nodes = {node.op_type: node for node in graph.graph.node}
    nodes["Round"].input[0] = "scaled"
    multiply = helper.make_node("Mul", ["means", "scale"], ["scaled"])
    graph.graph.node.insert(list(graph.graph.node).index(nodes["Round"]), multiply)
    graph.graph.input.append(helper.make_tensor_value_info("scale", TensorProto.FLOAT, [1]))
    onnx.save(graph, tmp_path / "scaled.onnx")
    return tmp_path / "scaled.onnx"


def test_a_level_scales_the_latent(scaled_model, model):
    pixels = np.full((1, 32, 32, 3), 200, np.uint8)
    assert set(open_runtime("onnxruntime", scaled_model)(pixels, 0.25).flat) == {25}
    with pytest.raises(BundleError, match=r"scale is 0\.25, but this encoder has no quality levels"):
        open_runtime("onnxruntime", model)(pixels, 0.25)


class BoundOnCpu(onnxruntime_cuda.Runtime):
    """The way of the GPU providers, on a device that is there."""

    provider = "CPUExecutionProvider"
    device = "cpu"

    def _providers(self, model_path, options):
        return [(self.provider, {})]


def test_bound_buffers_give_what_run_gives(scaled_model):
    bound, plain = BoundOnCpu(scaled_model, RuntimeOptions()), open_runtime("onnxruntime", scaled_model)
    results = []
    for scale, size in [(1, (64, 96)), (1, (64, 96)), (0.5, (64, 96)), (1, (32, 32)), (1, (64, 96))]:
        pixels = frame(*size)
        pixels[0, 0, 0, 0] += len(results)
        results.append((bound(pixels, scale), plain(pixels, scale)))
    for got, expected in results:  # compared at the end: no result may be overwritten by a later frame
        np.testing.assert_array_equal(got, expected)


def test_buffers_are_bound_once_a_shape(scaled_model, monkeypatch):
    bound = BoundOnCpu(scaled_model, RuntimeOptions())
    bindings = []
    bind = bound._binding._bind
    monkeypatch.setattr(bound._binding, "_bind", lambda inputs: (bindings.append(1), bind(inputs)))
    for size in [(64, 96), (64, 96), (64, 96), (32, 32), (32, 32)]:
        bound(frame(*size))
    assert len(bindings) == 2


GPU_RUNTIMES = {
    "onnxruntime-cuda": "CUDAExecutionProvider",
    "onnxruntime-tensorrt": "TensorrtExecutionProvider",
}


@pytest.mark.parametrize(("name", "provider"), GPU_RUNTIMES.items())
def test_a_provider_that_is_missing_is_refused_by_name(model, name, provider, tmp_path):
    if provider in onnxruntime.get_available_providers():
        pytest.skip(f"this ONNX Runtime has {provider}")
    assert "CPUExecutionProvider" in probe_runtime(name).problem
    with pytest.raises(RuntimeUnavailable, match=f"has .*CPUExecutionProvider.*, not {provider}"):
        open_runtime(name, model, RuntimeOptions(engines=tmp_path))


@pytest.mark.filterwarnings("ignore:Specified provider")
@pytest.mark.parametrize(("name", "provider"), GPU_RUNTIMES.items())
def test_a_provider_that_does_not_start_is_no_silent_cpu(model, monkeypatch, name, provider, tmp_path):
    if provider in onnxruntime.get_available_providers():
        pytest.skip(f"this ONNX Runtime has {provider}")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [provider])
    with pytest.raises(RuntimeUnavailable, match=f"{provider} did not start"):
        open_runtime(name, model, RuntimeOptions(engines=tmp_path))


def test_the_cpu_helps_no_other_provider(model):
    if "AzureExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("needs a provider that starts and runs nothing")
    with pytest.raises(RuntimeUnavailable, match=r"AzureExecutionProvider .* cannot run all of"):
        open_session(model, [("AzureExecutionProvider", {})], threads=1)


@pytest.mark.filterwarnings("ignore:Specified provider")
@pytest.mark.parametrize("content", [b"", b"not a model", None])
@pytest.mark.parametrize(("name", "provider"), GPU_RUNTIMES.items())
def test_a_file_that_is_no_model_is_not_the_providers_fault(tmp_path, monkeypatch, name, provider, content):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [provider])
    path = tmp_path / "broken.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BundleError, match=r"broken\.onnx"):
        open_runtime(name, path, RuntimeOptions(engines=tmp_path))


def test_a_provider_whose_libraries_are_missing_is_passed_over(model, monkeypatch):
    session = onnxruntime.InferenceSession

    def open_it(path, options, providers, **more):
        if providers[0][0] != "CPUExecutionProvider":
            raise RuntimeError("Please install TensorRT libraries")
        return session(path, options, providers=providers, **more)

    everything = [*GPU_RUNTIMES.values(), "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: everything)
    monkeypatch.setattr(onnxruntime, "InferenceSession", open_it)
    choice = open_chosen("auto", model)
    assert choice.name == "onnxruntime"
    assert "Please install TensorRT libraries" in choice.refused["onnxruntime-tensorrt"]


def test_a_frame_that_fails_does_not_go_to_another_provider(model):
    assert Runtime(model, RuntimeOptions())._session._enable_fallback is False


def test_tensorrt_keeps_its_engines_in_the_folder_named(tmp_path, model):
    told = onnxruntime_tensorrt.tensorrt_options(
        model, RuntimeOptions(largest=(384, 480), engines=tmp_path / "engines")
    )
    folder = tmp_path / "engines" / "onnxruntime"
    assert told["trt_engine_cache_path"] == told["trt_timing_cache_path"] == str(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert told["trt_profile_min_shapes"] == "frame:1x32x32x3"
    assert told["trt_profile_opt_shapes"] == told["trt_profile_max_shapes"] == "frame:1x384x480x3"
    assert all(isinstance(value, str) for value in told.values())


def test_tensorrt_uses_the_precision_of_the_graph(tmp_path, model):
    def flags(path):
        told = onnxruntime_tensorrt.tensorrt_options(path, RuntimeOptions(engines=tmp_path))
        return told["trt_fp16_enable"] + told["trt_int8_enable"]

    graph = onnx.load(model)
    assert flags(model) == "00"
    graph.graph.node.append(helper.make_node("Cast", ["means"], ["half"], to=TensorProto.FLOAT16))
    onnx.save(graph, tmp_path / "half.onnx")
    graph.graph.node[-1].CopyFrom(helper.make_node("QuantizeLinear", ["means", "s", "z"], ["int"], axis=1))
    onnx.save(graph, tmp_path / "int8.onnx")
    assert (flags(tmp_path / "half.onnx"), flags(tmp_path / "int8.onnx")) == ("10", "01")


def test_a_folder_of_engines_that_others_can_write_is_refused(tmp_path, model):
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime").chmod(0o777)
    with pytest.raises(RuntimeUnavailable, match=r"onnxruntime has mode 0777"):
        onnxruntime_tensorrt.tensorrt_options(model, RuntimeOptions(engines=tmp_path))


def test_a_folder_of_engines_that_cannot_be_made_is_named(tmp_path, model):
    (tmp_path / "file").write_text("")
    with pytest.raises(RuntimeUnavailable, match=r"cannot make .*file/onnxruntime"):
        onnxruntime_tensorrt.tensorrt_options(model, RuntimeOptions(engines=tmp_path / "file"))


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
    yield lambda name, text: (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    for name in [name for name in sys.modules if name.startswith(f"{runtimes.__name__}.one_")]:
        del sys.modules[name]


def test_a_new_runtime_is_one_file(more_runtimes, model):
    more_runtimes("one_abacus", ABACUS)
    assert "one-abacus" in runtime_names()
    assert weigh_runtimes().name == "one-abacus"
    assert open_runtime("auto", model, RuntimeOptions(3))(frame()).item(0) == 3


def test_a_package_that_is_missing_is_named_with_what_brings_it(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(RuntimeUnavailable, match=r"not installed .*: pip install onnxruntime$"):
        open_runtime("onnxruntime", model)


def test_a_runtime_whose_package_is_missing_is_named(more_runtimes, model):
    more_runtimes("one_absent", "import frankensplit_no_such_package")
    with pytest.raises(RuntimeUnavailable, match=r"'one-absent' does not load.*frankensplit_no_such_package"):
        open_runtime("one-absent", model)


BROKEN = {
    "import frankensplit_no_such_package": "does not load: ModuleNotFoundError",
    "PREFERENCE = ": "does not load: SyntaxError",
    "raise OSError('libnvinfer.so.10: cannot open')": "libnvinfer",
    ABACUS.replace(
        "return Probe", "raise ValueError('no beads'); return Probe"
    ): "its probe raised ValueError: no beads",
    ABACUS.replace('Probe({"beads": "1.0"})', "Probe(problem='no beads')"): "no beads",
    "PREFERENCE = 100": "its probe raised AttributeError",
}


@pytest.mark.parametrize(("text", "reason"), BROKEN.items(), ids=range(len(BROKEN)))
def test_auto_survives_a_broken_runtime_and_says_so(more_runtimes, model, text, reason):
    more_runtimes("one_broken", text)
    for choice in (weigh_runtimes(), open_chosen("auto", model)):
        assert choice.name != "one-broken"
        assert reason in choice.refused["one-broken"]
        assert "one-broken is not used" in str(choice)


def test_auto_passes_over_a_runtime_without_an_engine_aloud(more_runtimes, model, caplog):
    refuses = ABACUS.replace("self.threads =", "raise RuntimeUnavailable('no engine yet'); self.threads =")
    more_runtimes("one_engine", "from frankensplit.errors import RuntimeUnavailable" + refuses)
    assert weigh_runtimes().name == "one-engine"
    with caplog.at_level(logging.WARNING):
        choice = open_chosen("auto", model)
    assert choice.refused["one-engine"] == "no engine yet"
    assert "one-engine is passed over: no engine yet" in caplog.text
    np.testing.assert_array_equal(choice.value(frame())[0], expected_symbols(frame()[0]))
    with pytest.raises(RuntimeUnavailable, match="no engine yet"):
        open_runtime("one-engine", model)


def test_where_nothing_works_each_reason_is_given(monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["NoExecutionProvider"])
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(
        RuntimeUnavailable, match=r"no runtime works here: .*onnxruntime-cuda: .*onnxruntime: "
    ):
        weigh_runtimes()


def test_an_explicit_choice_has_no_reasons(model):
    choice = open_chosen("onnxruntime", model)
    assert (choice.name, choice.refused, str(choice)) == ("onnxruntime", {}, "runtime onnxruntime")
