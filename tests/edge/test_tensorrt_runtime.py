# SPDX-License-Identifier: Apache-2.0
"""The runtime tensorrt on fakes of TensorRT and CUDA: right symbols, typed errors, nothing leaked, nothing built."""

from __future__ import annotations

import logging
import sys
import types

import numpy as np
import pytest
from fake_tensorrt import install
from tensorrt_setup import build, by_onnxruntime, frame, open_tensorrt, write_levelled_encoder
from tiny_codec import expected_symbols, write_encoder

from frankensplit.edge.runtimes import RuntimeOptions, open_chosen, open_runtime, weigh_runtimes
from frankensplit.edge.runtimes.tensorrt import probe
from frankensplit.edge.tensorrt.cudart import SIGNATURES, CudaError
from frankensplit.edge.tensorrt.engine import Engine
from frankensplit.edge.tensorrt.profile import Profile
from frankensplit.errors import BundleError, ImageError, RuntimeUnavailable

SIZES = [(32, 32), (64, 96), (64, 96), (64, 96), (32, 96), (64, 96), (64, 96), (64, 32), (64, 32), (64, 32)]


@pytest.fixture(params=["discrete", "mapped", "integrated, copied"])
def fake(request, monkeypatch):
    return install(monkeypatch, integrated=request.param != "discrete")


@pytest.fixture
def zero_copy(fake, request):
    return "off" if "copied" in request.node.callspec.params["fake"] else "auto"


@pytest.fixture
def model(tmp_path):
    return write_encoder(tmp_path / "encoder.onnx")


@pytest.fixture
def discrete(monkeypatch):
    return install(monkeypatch)


def test_symbols_are_right_at_every_size(fake, zero_copy, model, tmp_path):
    build(model, tmp_path)
    runtime = open_tensorrt(model, tmp_path, zero_copy=zero_copy)
    results = [(pixels := frame(*size, seed=at), runtime(pixels)) for at, size in enumerate(SIZES)]
    for pixels, symbols in results:  # compared at the end: no result may be overwritten by a later frame
        assert symbols.dtype == np.int32
        np.testing.assert_array_equal(symbols[0], expected_symbols(pixels[0]))


@pytest.mark.parametrize("half", [False, True])
def test_symbols_are_onnxruntimes_at_every_scale(fake, zero_copy, tmp_path, half):
    model = write_levelled_encoder(tmp_path / "encoder.onnx", half=half)
    build(model, tmp_path, precision="fp16" if half else "fp32")
    runtime = open_tensorrt(model, tmp_path, zero_copy=zero_copy)
    seen = set()
    for size in [(64, 96), (64, 96), (64, 96), (32, 64), (32, 64)]:
        for scale in (1.0, 0.5, 0.125):
            symbols = runtime(frame(*size), scale)
            np.testing.assert_array_equal(symbols, by_onnxruntime(model, frame(*size), scale))
            seen.add(int(np.abs(symbols).max()))
    assert len(seen) >= 3  # the scale does something


def test_a_graph_is_recorded_once_a_shape_stays_and_again_when_it_changes(discrete, model, tmp_path):
    build(model, tmp_path)
    runtime = open_tensorrt(model, tmp_path)
    for height, launches in [(64, [0, 1, 1]), (32, [0, 1, 1]), (64, [0, 1, 1])]:
        for wanted in launches:
            before = discrete.cudart.calls["cudaGraphLaunch"]
            runtime(frame(height, 32))
            assert discrete.cudart.calls["cudaGraphLaunch"] - before == wanted


def test_a_stream_of_changing_shapes_records_nothing(discrete, model, tmp_path):
    build(model, tmp_path)
    runtime = open_tensorrt(model, tmp_path)
    before = discrete.behaviour.captured
    for height in (32, 64) * 4:
        runtime(frame(height))
    assert discrete.behaviour.captured == before


@pytest.mark.parametrize("where", ["TensorRT", "begin", "end", "instantiate"])
def test_without_a_graph_frames_are_queued_call_by_call(discrete, model, tmp_path, where, caplog):
    build(model, tmp_path)
    calls = {"begin": "cudaStreamBeginCapture", "end": "cudaStreamEndCapture"}
    if where == "TensorRT":
        discrete.behaviour.fails_in_capture = True
    else:
        discrete.cudart.fail(calls.get(where, "cudaGraphInstantiateWithFlags"), 900)
    with caplog.at_level(logging.WARNING):
        runtime = open_tensorrt(model, tmp_path)
    assert [record.message for record in caplog.records if "no CUDA graph" in record.message]
    caplog.clear()
    for seed in range(4):
        np.testing.assert_array_equal(runtime(frame(seed=seed))[0], expected_symbols(frame(seed=seed)[0]))
    assert not caplog.records
    runtime.close()
    assert discrete.cudart.held == {}


def test_memory_is_freed_at_close(fake, zero_copy, model, tmp_path):
    build(model, tmp_path)
    assert fake.cudart.held == {}
    runtime = open_tensorrt(model, tmp_path, zero_copy=zero_copy)
    runtime(frame())
    assert fake.cudart.held
    runtime.close()
    runtime.close()
    assert fake.cudart.held == {}
    with pytest.raises(RuntimeUnavailable, match="closed"):
        runtime(frame())


def test_memory_is_freed_when_nothing_refers_to_the_runtime(fake, model, tmp_path):
    build(model, tmp_path)
    runtime = open_tensorrt(model, tmp_path)
    symbols = runtime(frame())
    del runtime
    assert fake.cudart.held == {}
    np.testing.assert_array_equal(symbols[0], expected_symbols(frame()[0]))


GOT = "cudaMalloc", "cudaHostAlloc", "cudaHostGetDevicePointer", "cudaStreamCreateWithFlags"
GIVEN_BACK = "cudaFree", "cudaFreeHost", "cudaStreamDestroy", "cudaGraphDestroy", "cudaGraphExecDestroy"
OPTIONAL = (
    "cudaStreamBeginCapture",
    "cudaStreamEndCapture",
    "cudaGraphInstantiateWithFlags",
    "cudaGraphDestroy",
)
ASKED = [name for name in SIGNATURES if "Error" not in name and name not in GIVEN_BACK]


@pytest.fixture(scope="module", params=[False, True], ids=["discrete", "integrated"])
def built(request, tmp_path_factory):
    """An engine for tests that only open it: whether the GPU is integrated, the model, the folder."""
    folder = tmp_path_factory.mktemp("built")
    with pytest.MonkeyPatch.context() as patch:
        install(patch, integrated=request.param)
        model = write_encoder(folder / "encoder.onnx")
        build(model, folder)
    return request.param, model, folder


@pytest.mark.parametrize("after", range(4))
@pytest.mark.parametrize("name", ASKED)
def test_every_cuda_call_that_fails_is_named_and_leaks_nothing(monkeypatch, built, name, after):
    integrated, model, folder = built
    fake = install(monkeypatch, integrated=integrated)
    fake.cudart.fail(name, 2, after)
    before = fake.cudart.calls[name]
    runtime = None
    try:
        runtime = open_tensorrt(model, folder, zero_copy="on" if integrated else "off")
        for _ in range(4):
            np.testing.assert_array_equal(runtime(frame())[0], expected_symbols(frame()[0]))
    except RuntimeUnavailable as err:
        assert name in str(err) and "cudaErrorMemoryAllocation: out of memory" in str(err)
        assert name not in OPTIONAL
    else:
        assert name in OPTIONAL or fake.cudart.calls[name] - before <= after
    fake.cudart.failures.clear()
    del runtime
    assert fake.cudart.held == {}


@pytest.mark.parametrize("name", GIVEN_BACK)
def test_what_cannot_be_given_back_stops_nothing_else(discrete, model, tmp_path, name, caplog):
    build(model, tmp_path)
    runtime = open_tensorrt(model, tmp_path)
    runtime(frame())
    discrete.cudart.fail(name, 700)
    runtime.close()
    kinds = {"cudaFree": "device", "cudaFreeHost": "pinned", "cudaStreamDestroy": "Stream"}
    assert set(discrete.cudart.held) <= {kinds.get(name), "Executable", "Graph"}


def test_a_frame_that_fails_is_an_error_with_its_parts(discrete, model, tmp_path):
    build(model, tmp_path)
    runtime = open_tensorrt(model, tmp_path)
    discrete.cudart.fail("cudaStreamSynchronize", 700)
    with pytest.raises(
        CudaError, match=r"cudaStreamSynchronize failed with 700 cudaErrorIllegalAddress"
    ) as caught:
        runtime(frame())
    assert (caught.value.call, caught.value.code) == ("cudaStreamSynchronize", 700)


@pytest.mark.parametrize("refused", ["set_input_shape", "execute_async_v3"])
def test_what_tensorrt_refuses_in_a_frame_is_an_error_with_its_reason(discrete, model, tmp_path, refused):
    build(model, tmp_path)
    runtime = open_tensorrt(model, tmp_path)
    discrete.behaviour.refuses, discrete.behaviour.says = {refused}, ["myelin cannot"]
    with pytest.raises(RuntimeUnavailable, match="TensorRT says: myelin cannot"):
        runtime(frame(32, 32))
    discrete.behaviour.refuses = set()
    np.testing.assert_array_equal(runtime(frame())[0], expected_symbols(frame()[0]))


@pytest.mark.parametrize("refused", ["create_execution_context", "set_input_shape", "set_tensor_address"])
def test_what_tensorrt_refuses_at_the_start_leaks_nothing(fake, model, tmp_path, refused):
    build(model, tmp_path)
    fake.behaviour.refuses, fake.behaviour.says = {refused}, ["a", "b"]
    with pytest.raises(RuntimeUnavailable, match=r"TensorRT says: .*a \| b"):
        open_tensorrt(model, tmp_path)
    assert fake.cudart.held == {}


@pytest.mark.parametrize("size", [(96, 96), (64, 128)])
def test_a_larger_frame_names_the_command(discrete, model, tmp_path, size):
    build(model, tmp_path)
    runtime = open_tensorrt(model, tmp_path)
    larger = f"{max(size[1], 96)}x{max(size[0], 64)}"
    with pytest.raises(ImageError, match=rf"up to 96x64: .*export BUNDLE --tensorrt --size {larger}"):
        runtime(frame(*size))
    np.testing.assert_array_equal(runtime(frame())[0], expected_symbols(frame()[0]))


def test_an_engine_of_one_size_takes_that_size(discrete, model, tmp_path):
    build(model, tmp_path, Profile(64, 96, fixed=True))
    runtime = open_tensorrt(model, tmp_path)
    np.testing.assert_array_equal(runtime(frame())[0], expected_symbols(frame()[0]))
    with pytest.raises(ImageError, match="of 96x64 only"):
        runtime(frame(32, 32))


@pytest.mark.parametrize(
    "bad",
    [frame()[0], frame()[..., :2], frame().astype(np.float32), np.repeat(frame(), 2, axis=0), frame()[:, 1:]],
)
def test_foreign_frames_are_named(discrete, model, tmp_path, bad):
    build(model, tmp_path)
    with pytest.raises(ImageError, match="expected"):
        open_tensorrt(model, tmp_path)(bad)


def test_frames_need_not_be_contiguous(fake, model, tmp_path):
    build(model, tmp_path)
    wide = frame(64, 192)[:, :, ::2]
    np.testing.assert_array_equal(open_tensorrt(model, tmp_path)(wide)[0], expected_symbols(wide[0]))


def test_a_scale_needs_an_encoder_with_levels(discrete, model, tmp_path):
    build(model, tmp_path)
    with pytest.raises(BundleError, match="has no quality levels"):
        open_tensorrt(model, tmp_path)(frame(), 0.5)


def test_zero_copy_is_what_was_asked_for(monkeypatch, model, tmp_path):
    fake = install(monkeypatch, integrated=True)
    build(model, tmp_path)
    on, off = (open_tensorrt(model, tmp_path, zero_copy=one) for one in ("on", "off"))
    assert fake.cudart.held["mapped"] == 2 and fake.cudart.held["device"] == fake.cudart.held["pinned"] == 2
    del off
    before = fake.cudart.calls["cudaMemcpyAsync"]
    np.testing.assert_array_equal(on(frame())[0], expected_symbols(frame()[0]))
    assert fake.cudart.calls["cudaMemcpyAsync"] == before


@pytest.mark.parametrize("mapped_is_faster", [True, False])
def test_auto_times_both_and_keeps_the_faster(monkeypatch, model, tmp_path, mapped_is_faster):
    fake = install(monkeypatch, integrated=True)
    build(model, tmp_path)
    monkeypatch.setattr(
        "frankensplit.edge.tensorrt.engine._seconds",
        lambda executor, pixels: float(executor.mapped != mapped_is_faster),
    )
    runtime = open_tensorrt(model, tmp_path)
    kept = {"mapped"} if mapped_is_faster else {"pinned", "device"}
    assert set(fake.cudart.held) & {"mapped", "pinned", "device"} == kept
    np.testing.assert_array_equal(runtime(frame())[0], expected_symbols(frame()[0]))


def test_auto_goes_on_with_copies_where_mapping_fails(monkeypatch, model, tmp_path):
    fake = install(monkeypatch, integrated=True)
    build(model, tmp_path)
    fake.cudart.fail("cudaHostGetDevicePointer", 1)
    runtime = open_tensorrt(model, tmp_path)
    np.testing.assert_array_equal(runtime(frame())[0], expected_symbols(frame()[0]))
    assert "mapped" not in fake.cudart.held


def test_zero_copy_is_refused_where_memory_is_not_shared(discrete, model, tmp_path):
    build(model, tmp_path)
    with pytest.raises(RuntimeUnavailable, match="zero copy is 'on', but Fake GPU has its own memory"):
        open_tensorrt(model, tmp_path, zero_copy="on")
    with pytest.raises(RuntimeUnavailable, match="'maybe', expected 'auto', 'on' or 'off'"):
        open_tensorrt(model, tmp_path, zero_copy="maybe")


def test_nothing_is_built_on_the_way(discrete, tmp_path):
    (tmp_path / "street" / "codec").mkdir(parents=True)
    model = write_encoder(tmp_path / "street" / "codec" / "encoder.fp16.onnx")
    command = r"frankensplit export \S+street --tensorrt --precision fp16 --size 96x64"
    with pytest.raises(RuntimeUnavailable, match=rf"no engine of encoder\.fp16\.onnx .*{command}"):
        open_tensorrt(model, tmp_path)
    assert discrete.behaviour.builds == []


def test_the_smallest_engine_that_takes_the_frames_is_used(discrete, model, tmp_path):
    build(model, tmp_path, Profile(64, 96), Profile(96, 128), Profile(64, 64, fixed=True))
    for largest, used in [
        ((32, 32), Profile(64, 96)),
        ((64, 96), Profile(64, 96)),
        ((96, 96), Profile(96, 128)),
        (None, Profile(96, 128)),
    ]:
        assert open_tensorrt(model, tmp_path, largest)._engine.profile == used
    with pytest.raises(RuntimeUnavailable, match="no engine"):
        open_tensorrt(model, tmp_path, (128, 128))


def test_an_engine_of_another_model_is_not_used(discrete, model, tmp_path):
    build(model, tmp_path)
    other = write_levelled_encoder(tmp_path / "other.onnx")
    with pytest.raises(RuntimeUnavailable, match=r"no engine of other\.onnx"):
        open_tensorrt(other, tmp_path)


def test_a_missing_model_is_named(discrete, tmp_path):
    with pytest.raises(BundleError, match=r"cannot read .*absent\.onnx"):
        open_tensorrt(tmp_path / "absent.onnx", tmp_path)


def test_auto_takes_tensorrt_once_there_is_an_engine(discrete, model, tmp_path):
    options = RuntimeOptions(engines=tmp_path, largest=(64, 96))
    assert weigh_runtimes().name == "tensorrt"
    before = open_chosen("auto", model, options)
    assert before.name != "tensorrt" and "--tensorrt" in before.refused["tensorrt"]
    build(model, tmp_path)
    assert open_chosen("auto", model, options).name == "tensorrt"


def test_probe_says_what_there_is(monkeypatch):
    fake = install(monkeypatch, integrated=True)
    found = probe()
    assert found.problem is None
    assert found.versions == {
        "tensorrt": "10.3.0",
        "cuda runtime": "12.6",
        "cuda driver": "12.6",
        "gpu": "Orin",
    }
    fake.behaviour.unusable = True
    assert "the GPU or its driver cannot be used" in probe().problem
    assert "CUDA initialization failure" in probe().problem


def test_no_gpu_is_said(discrete, model, tmp_path):
    discrete.cudart.fail("cudaGetDeviceCount", 35)
    assert (
        "no GPU can be used: cudaGetDeviceCount failed with 35 cudaErrorInsufficientDriver" in probe().problem
    )
    with pytest.raises(RuntimeUnavailable, match="no GPU can be used"):
        open_tensorrt(model, tmp_path)
    discrete.cudart.failures.clear()
    discrete.cudart.count = 0
    assert "CUDA sees no GPU" in probe().problem


def test_a_gpu_that_tensorrt_cannot_use_is_said(discrete, model, tmp_path):
    build(model, tmp_path)
    discrete.behaviour.unusable = True
    with pytest.raises(RuntimeUnavailable, match=r"is installed, but the GPU or its driver cannot be used"):
        open_tensorrt(model, tmp_path)
    with pytest.raises(RuntimeUnavailable, match=r"is installed, but the GPU or its driver cannot be used"):
        build(model, tmp_path, Profile(32, 32))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "Target GPU SM 87 is not supported by this TensorRT release.",
            r"has no code for this GPU \(SM 87\)",
        ),
        ("Device memory is insufficient to use tactic.", "memory ran short"),
    ],
)
def test_known_lines_of_the_log_are_explained(discrete, model, tmp_path, line, said):
    discrete.behaviour.refuses, discrete.behaviour.says = {"build_serialized_network"}, [line]
    with pytest.raises(RuntimeUnavailable, match=rf"{said}.*TensorRT says: {line.split('.')[0]}"):
        build(model, tmp_path)


class Importer:
    """Let the import of tensorrt end in an error."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def find_spec(self, name, path=None, target=None):
        if name == "tensorrt":
            raise self.error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ModuleNotFoundError("No module named 'tensorrt'", name="tensorrt"), "is not installed"),
        (ModuleNotFoundError("No module named 'tensorrt_libs'", name="tensorrt_libs"), "does not load"),
        (ImportError("libnvdla_compiler.so: cannot open shared object file"), "does not load"),
        (OSError("libnvinfer.so.10: cannot open shared object file"), "does not load"),
    ],
)
def test_not_installed_and_broken_are_told_apart(monkeypatch, model, tmp_path, error, said):
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Importer(error), *sys.meta_path])
    assert said in probe().problem
    with pytest.raises(RuntimeUnavailable, match=said):
        open_runtime("tensorrt", model, RuntimeOptions(engines=tmp_path))


@pytest.mark.parametrize("version", ["8.6.2", "10.0.1", None])
def test_an_old_tensorrt_is_refused(monkeypatch, version):
    old = types.ModuleType("tensorrt")
    if version:
        old.__version__ = version
    monkeypatch.setitem(sys.modules, "tensorrt", old)
    assert "expected 10.3 or newer" in probe().problem


def test_an_engine_of_something_else_is_no_encoder(discrete, model):
    fake = discrete
    from frankensplit.edge.tensorrt import cudart
    from frankensplit.edge.tensorrt.library import journal_of

    journal_of(fake.module)
    plan = b'FAKEPLAN{"version": "10.3.0", "frame": [[1,32,32,3],[1,64,96,3],[1,64,96,3]], "wrong": false}\n'
    other = write_encoder(model.with_name("other.onnx"), symbols=7).read_bytes()
    with pytest.raises(BundleError, match=r"engine has .*DataType\.OTHER.*expected frame INPUT UINT8"):
        Engine(fake.module, cudart.open_cuda(), plan + other, Profile(64, 96))
