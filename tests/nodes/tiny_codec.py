# SPDX-License-Identifier: Apache-2.0
"""A real codec folder small enough to make in a test: its encoder takes block means, without training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from frankensplit.bundle import CODEC_FORMAT, sha256_of
from frankensplit.codec.tables import Tables

STRIDE = 8
RANGE = 32  # symbols lie in -16..15


def write_tiny_codec(folder: Path, nominal_height: int = 96, nominal_width: int = 128) -> Path:
    """Write ``codec/`` with an encoder of 8x8 block means of R, G and B, in steps of 8 grey levels."""
    codec = folder / "codec"
    codec.mkdir(parents=True)
    onnx.save(_block_means(), codec / "encoder.onnx")
    Tables.from_counts([(-RANGE // 2, np.ones(RANGE, np.int64))] * 3).save(codec / "tables.npz")
    manifest = {
        "format": CODEC_FORMAT,
        "encoder": "block-means",
        "encoder_sha256": sha256_of(codec / "encoder.onnx"),
        "tables_sha256": sha256_of(codec / "tables.npz"),
        "nominal_height": nominal_height,
        "nominal_width": nominal_width,
        "stride": STRIDE,
        "multiple": 32,
        "channels": 3,
    }
    (codec / "codec.json").write_text(json.dumps(manifest), encoding="utf-8")
    return codec


def _block_means() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Transpose", ["frame"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planes"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("AveragePool", ["pixels"], ["means"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Sub", ["means", "middle"], ["centred"]),
        helper.make_node("Mul", ["centred", "scale"], ["scaled"]),
        helper.make_node("Round", ["scaled"], ["rounded"]),
        helper.make_node("Clip", ["rounded", "lowest", "highest"], ["clipped"]),
        helper.make_node("Cast", ["clipped"], ["symbols"], to=TensorProto.INT32),
    ]
    constants = {"middle": 128.0, "scale": 1 / 8, "lowest": -RANGE / 2, "highest": RANGE / 2 - 1}
    graph = helper.make_graph(
        nodes,
        "block_means",
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, [1, "H", "W", 3])],
        [helper.make_tensor_value_info("symbols", TensorProto.INT32, [1, 3, "h", "w"])],
        [helper.make_tensor(name, TensorProto.FLOAT, [], [value]) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
