# SPDX-License-Identifier: Apache-2.0
"""A tiny codec with a real ONNX encoder: the mean of each 8x8 block, halved and rounded, of each colour."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from frankensplit.bundle import CODEC_FORMAT, Codec, sha256_of
from frankensplit.codec import Tables

CHANNELS = 3


def write_encoder(
    path: Path, shape=(1, "H", "W", 3), channels: int = CHANNELS, symbols: int = TensorProto.INT32
) -> Path:
    """Write ``uint8 [1, H, W, 3]`` to ``int32 [1, C, H/8, W/8]``."""
    weight = np.zeros((channels, shape[3], 8, 8), np.float32)
    for channel in range(channels):
        weight[channel, channel % 3] = 0.5 / 64
    nodes = [
        helper.make_node("Cast", ["frame"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "weight"], ["means"], strides=[8, 8], kernel_shape=[8, 8]),
        helper.make_node("Round", ["means"], ["rounded"]),
        helper.make_node("Cast", ["rounded"], ["symbols"], to=symbols),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("symbols", symbols, (1, channels, "h", "w"))],
        [onnx.numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def write_codec(folder: Path, nominal_height: int = 360, nominal_width: int = 480, **encoder) -> Path:
    """Write a codec folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_encoder(folder / "encoder.onnx", **encoder)
    Tables.from_counts([(0, np.ones(129))] * CHANNELS).save(folder / "tables.npz")
    manifest = {
        "format": CODEC_FORMAT,
        "encoder_sha256": sha256_of(folder / "encoder.onnx"),
        "tables_sha256": sha256_of(folder / "tables.npz"),
        "nominal_height": nominal_height,
        "nominal_width": nominal_width,
        "stride": 8,
        "multiple": 32,
        "channels": CHANNELS,
        "encoder": "tiny",
    }
    (folder / "codec.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def open_codec(folder: Path, **encoder) -> Codec:
    """Write and open a codec."""
    return Codec.open(write_codec(folder, **encoder))


def expected_symbols(frame: np.ndarray) -> np.ndarray:
    """What the encoder gives for a uint8 frame ``(H, W, 3)``, by numpy alone."""
    height, width = frame.shape[:2]
    means = frame.reshape(height // 8, 8, width // 8, 8, 3).mean(axis=(1, 3), dtype=np.float64) / 2
    return np.rint(means).astype(np.int32).transpose(2, 0, 1)
