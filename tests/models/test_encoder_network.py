# SPDX-License-Identifier: Apache-2.0
"""The encoder has the paper's size, and its ONNX graph gives torch's symbols."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from frankensplit.edge.runtimes import open_runtime
from frankensplit.errors import BundleError
from frankensplit.evaluation.network_cost import macs_of, parameters_of
from frankensplit.models.encoder import Encoder, normalise
from frankensplit.models.onnx_graph import encoder_graph, read_encoder


@pytest.mark.parametrize(
    ("size", "parameters"), [("s", 141_696), ("m", 234_768), ("l", 319_856), ("nano", 77_536)]
)
@pytest.mark.parametrize("act_between", [True, False])
def test_parameters_are_the_papers(size, parameters, act_between):
    assert parameters_of(Encoder(size, act_between)) == parameters


def test_nano_has_a_quarter_of_the_multiply_accumulates():
    image = torch.empty(1, 3, 224, 224, device="meta")
    macs = {size: macs_of(Encoder(size), image)[0] for size in ("s", "nano")}
    assert macs["nano"] == 2808 * 224 * 224
    assert macs["nano"] / macs["s"] < 0.27


def test_first_activation_is_what_the_switch_takes_away():
    torch.manual_seed(0)
    with_both, published = Encoder(), Encoder(act_between=False)
    published.load_state_dict(with_both.state_dict())
    image = torch.randn(1, 3, 32, 32)
    assert not torch.allclose(with_both(image), published(image))
    for block in (*with_both.blocks, *published.blocks):
        torch.nn.init.constant_(block.conv1.bias, 100.0)  # now the activation never cuts
    assert torch.allclose(with_both(image), published(image), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("kind", "act_between"), [("s", True), ("s", False), ("m", True), ("nano", True)])
@pytest.mark.parametrize("size", [(32, 32), (96, 160)])
def test_onnx_symbols_equal_torch(tmp_path, kind, act_between, size):
    torch.manual_seed(1)
    encoder = Encoder(kind, act_between).eval()
    for parameter in encoder.parameters():
        parameter.data *= 3  # symbols well away from zero
    medians = torch.linspace(-1.3, 1.3, encoder.channels)
    path = tmp_path / "encoder.onnx"
    onnx.save(encoder_graph(encoder, medians), path)
    frame = np.random.default_rng(2).integers(0, 256, (1, *size, 3), np.uint8)
    symbols = open_runtime("onnxruntime", path)(frame)
    with torch.no_grad():
        latent = encoder(normalise(torch.from_numpy(frame).permute(0, 3, 1, 2)))
    exact = (latent - medians.view(1, -1, 1, 1)).numpy()
    assert symbols.dtype == np.int32
    assert symbols.shape == (1, encoder.channels, size[0] // 8, size[1] // 8)
    assert np.abs(symbols).max() > 3
    near_half = np.abs(np.abs(exact - np.floor(exact)) - 0.5) < 1e-3  # float32 sums may fall on either side
    assert (symbols == np.rint(exact))[~near_half].all()


def test_onnx_is_the_same_bytes_each_time():
    torch.manual_seed(3)
    encoder, medians = Encoder(), torch.zeros(48)
    first, second = (encoder_graph(encoder, medians).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(("size", "act_between"), [("s", True), ("s", False), ("m", True), ("nano", True)])
def test_a_codecs_encoder_becomes_a_network_again(tmp_path, size, act_between):
    torch.manual_seed(0)
    encoder = Encoder(size, act_between)
    medians = torch.randn(encoder.channels)
    onnx.save(encoder_graph(encoder, medians), tmp_path / "encoder.onnx")
    again, medians_again = read_encoder(tmp_path / "encoder.onnx", size)
    image = torch.randn(1, 3, 32, 64)
    assert torch.equal(again(image), encoder(image)) and torch.equal(medians_again, medians)


def test_an_encoder_of_another_size_is_refused(tmp_path):
    onnx.save(encoder_graph(Encoder("s"), torch.zeros(48)), tmp_path / "encoder.onnx")
    for size in ("nano", "m"):
        with pytest.raises(BundleError, match=rf"size '{size}'"):
            read_encoder(tmp_path / "encoder.onnx", size)
