# SPDX-License-Identifier: Apache-2.0
"""The tiny codec with quality levels: each divides the means by its step, and needs fewer bits for them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from tiny_codec import CHANNELS, write_codec

from frankensplit.bundle import level_file, sha256_of
from frankensplit.codec import Tables

STEPS = (1, 4, 16)


def write_levelled_codec(folder: Path, **sizes: int) -> Path:
    """Write a codec folder with one level for each of ``STEPS``."""
    write_codec(folder, **sizes)
    _let_scale_in(folder / "encoder.onnx")
    manifest = json.loads((folder / "codec.json").read_text(encoding="utf-8"))
    manifest["encoder_sha256"] = sha256_of(folder / "encoder.onnx")
    manifest["levels"] = [_write_level(folder, number) for number in range(1, len(STEPS))]
    (folder / "codec.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def _write_level(folder: Path, number: int) -> dict[str, object]:
    file = folder / level_file("tables", number)
    Tables.from_counts([(0, np.ones(128 // STEPS[number] + 1))] * CHANNELS).save(file)
    return {"step": float(STEPS[number]), "tables_sha256": sha256_of(file)}


def _let_scale_in(file: Path) -> None:
    """Give the encoder a second input that its latent is multiplied by before it is rounded."""
    model = onnx.load(file)
    nodes = model.graph.node
    rounding = next(node for node in nodes if node.op_type == "Round")
    rounding.input[0] = "scaled"
    nodes.insert(list(nodes).index(rounding), helper.make_node("Mul", ["means", "scale"], ["scaled"]))
    model.graph.input.append(helper.make_tensor_value_info("scale", TensorProto.FLOAT, [1]))
    onnx.save(model, file)
