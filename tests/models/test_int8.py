# SPDX-License-Identifier: Apache-2.0
"""Quantised encoders: the torch network rounds as the runtime does, and the integers stay near those of float."""

from __future__ import annotations

from collections import Counter

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, numpy_helper

from frankensplit.edge.runtimes import open_runtime
from frankensplit.models.encoder import Encoder, normalise
from frankensplit.models.int8 import CPU, SYMMETRIC, Grid, quantise
from frankensplit.models.integer_graph import GREY, as_read, fold_normalisation, integer_graph
from frankensplit.models.onnx_graph import encoder_graph

KINDS = [("s", True), ("s", False), ("m", True), ("nano", True)]
MEDIANS = torch.linspace(-1.3, 1.3, 48)


def smooth_frame(seed: int, height: int = 64, width: int = 96) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


FRAMES = [smooth_frame(seed) for seed in range(4)]
OTHER = smooth_frame(9, 96, 160)


def some_encoder(size: str, act_between: bool) -> Encoder:
    torch.manual_seed(1)
    encoder = Encoder(size, act_between).eval()
    for parameter in encoder.parameters():
        parameter.data *= 2  # symbols well away from zero
    return encoder


def as_normalised(frame: np.ndarray) -> torch.Tensor:
    return normalise(torch.from_numpy(frame).permute(2, 0, 1)[None])


def medians_of(encoder: Encoder) -> torch.Tensor:
    return torch.linspace(-1.3, 1.3, encoder.channels)


def symbols_of(tmp_path, model: onnx.ModelProto, scale: float = 1.0) -> np.ndarray:
    onnx.save(model, tmp_path / "encoder.onnx")
    return open_runtime("onnxruntime", tmp_path / "encoder.onnx")(OTHER[None], scale)


def simulated(quantised: Encoder, image: torch.Tensor, medians: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        return torch.round(quantised(image) - medians.view(1, -1, 1, 1)).numpy()


@pytest.mark.parametrize(("size", "act_between"), KINDS)
def test_the_symmetric_graph_rounds_as_its_network(size, act_between):
    encoder = some_encoder(size, act_between)
    quantised, medians = quantise(encoder, [as_normalised(f) for f in FRAMES], SYMMETRIC), medians_of(encoder)
    options = onnxruntime.SessionOptions()  # optimised, ONNX Runtime moves roundings
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    model = encoder_graph(quantised, medians).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    found = session.run(None, {"frame": OTHER[None], "scale": np.ones(1, np.float32)})[0]
    assert np.mean(found != simulated(quantised, as_normalised(OTHER), medians)) < 1e-3


@pytest.mark.parametrize(("size", "act_between"), KINDS)
def test_the_integer_graph_rounds_as_its_network(tmp_path, size, act_between):
    encoder = fold_normalisation(some_encoder(size, act_between))
    quantised, medians = quantise(encoder, [as_read(f) for f in FRAMES], CPU), medians_of(encoder)
    found = symbols_of(tmp_path, integer_graph(quantised, medians))
    wanted = simulated(quantised, as_read(OTHER), medians)
    assert np.abs(found - wanted).max() <= 2
    assert np.mean(found != wanted) < 0.06  # biases are integers there, and a sum rounds once, not twice


@pytest.mark.parametrize("form", ["symmetric", "cpu"])
@pytest.mark.parametrize(("size", "act_between"), KINDS)
def test_int8_stays_near_fp32(tmp_path, size, act_between, form):
    encoder = some_encoder(size, act_between)
    medians = medians_of(encoder)
    wanted = symbols_of(tmp_path, encoder_graph(encoder, medians))
    if form == "cpu":
        folded = fold_normalisation(encoder)
        model = integer_graph(quantise(folded, [as_read(f) for f in FRAMES], CPU), medians)
    else:
        model = encoder_graph(quantise(encoder, [as_normalised(f) for f in FRAMES], SYMMETRIC), medians)
    found = symbols_of(tmp_path, model)
    assert np.abs(wanted).max() > 3
    wanted, found = wanted[..., 2:, 2:], found[..., 2:, 2:]  # the integer graph pads with another grey
    assert np.abs(found - wanted).max() <= 4
    assert np.mean(found != wanted) < 0.2  # of an untrained network, whose latent is spread evenly


def test_fp16_differs_in_few_symbols_by_one(tmp_path):
    encoder = some_encoder("s", True)
    wanted, found = (
        symbols_of(tmp_path, encoder_graph(encoder, MEDIANS, half=half)) for half in (False, True)
    )
    assert 0 < np.mean(found != wanted) < 0.02
    assert np.abs(found - wanted).max() == 1


def test_a_quality_levels_scale_divides_by_its_step(tmp_path):
    encoder = some_encoder("s", True)
    with torch.no_grad():
        exact = (encoder(as_normalised(OTHER)) - MEDIANS.view(1, -1, 1, 1)).numpy() / 2.5
    near_half = np.abs(np.abs(exact - np.floor(exact)) - 0.5) < 1e-3
    found = symbols_of(tmp_path, encoder_graph(encoder, MEDIANS), scale=1 / 2.5)
    assert (found == np.rint(exact))[~near_half].all()


def test_folding_changes_the_borders_only():
    encoder = some_encoder("s", True)
    with torch.no_grad():
        wanted = encoder.blocks[0](as_normalised(OTHER))
        found = fold_normalisation(encoder).blocks[0](as_read(OTHER))
    torch.testing.assert_close(found[..., 2:, 2:], wanted[..., 2:, 2:], atol=1e-3, rtol=1e-3)


def test_tensorrts_rules_hold():
    encoder = some_encoder("s", True)
    graph = encoder_graph(quantise(encoder, [as_normalised(f) for f in FRAMES], SYMMETRIC), MEDIANS).graph
    constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    producers = {node.output[0]: node for node in graph.node}
    readers = Counter(name for node in graph.node for name in node.input)
    for node in graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            zero = constants[node.input[2]]
            assert zero.dtype == np.int8 and not zero.any()
        if node.op_type == "QuantizeLinear":
            behind = producers.get(node.input[0])
            assert behind is None or behind.op_type != "Conv"  # ReLU or Add lies between
        if node.op_type == "Conv":
            activation, weight = (producers[name] for name in node.input[:2])
            assert activation.op_type == weight.op_type == "DequantizeLinear"
            assert constants[activation.input[1]].ndim == 0
            assert constants[weight.input[1]].shape == (constants[node.input[2]].size,)
            assert weight.attribute[0].i == 0
            assert constants[node.input[2]].dtype == np.float32
    assert not [one for one in graph.node if one.op_type == "Cast" and one.input[0] == "frame"][1:]
    assert readers["frame"] == 1


def test_the_integer_graph_has_no_float_before_the_last_addition():
    folded = fold_normalisation(some_encoder("s", True))
    graph = integer_graph(quantise(folded, [as_read(f) for f in FRAMES], CPU), MEDIANS).graph
    kinds = [node.op_type for node in graph.node]
    assert kinds[: kinds.index("DequantizeLinear")].count("QLinearConv") == 9
    assert not {"QuantizeLinear", "Conv", "Relu"} & set(kinds)
    weights = [numpy_helper.to_array(one) for one in graph.initializer if one.data_type == TensorProto.INT8]
    assert max(np.abs(one.astype(int)).max() for one in weights) <= 64


def test_gradients_pass_through_the_grid_where_it_does_not_clip():
    x = torch.tensor([-300.0, -0.6, 0.2, 126.4, 300.0], requires_grad=True)
    rounded = Grid(torch.tensor(1.0), -128, 127)(x)
    assert rounded.tolist() == [-128, -1, 0, 126, 127]
    rounded.sum().backward()
    assert x.grad is not None and x.grad.tolist() == [0, 1, 1, 1, 0]


def test_quantising_leaves_the_network_alone():
    encoder = some_encoder("nano", True)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    quantise(encoder, [as_normalised(f) for f in FRAMES], SYMMETRIC)
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


def test_bytes_are_read_as_they_are():
    assert as_read(np.full((32, 32, 3), 200, np.uint8)).unique().tolist() == [200 - GREY]


def test_frames_of_several_sizes_are_calibrated_on():
    encoder = Encoder("nano").eval()
    frames = [FRAMES[0], OTHER]
    for form in (SYMMETRIC, CPU):
        images = [as_normalised(frame) for frame in frames]
        with torch.no_grad():
            found, wanted = quantise(encoder, images, form)(images[1]), encoder(images[1])
        assert float((found - wanted).abs().mean()) < 0.1 * float(wanted.abs().mean())
