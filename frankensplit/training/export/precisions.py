# SPDX-License-Identifier: Apache-2.0
"""Write a codec's encoder in fp16 and int8 beside its fp32 one, and say how far their integers differ.

Packets of any precision are read alike: tables, medians and the codec's id stay.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor

from frankensplit.bundle import BUNDLE, FOR_CPUS, Bundle, Codec, copy_files, sha256_of, write_manifest
from frankensplit.errors import DataError
from frankensplit.models.encoder import Encoder, normalise
from frankensplit.models.int8 import CPU, SYMMETRIC, quantise
from frankensplit.models.integer_graph import as_read, fold_normalisation, integer_graph
from frankensplit.models.onnx_graph import encoder_graph, read_encoder
from frankensplit.training.data.sample import Frames, sample
from frankensplit.training.export.latents import read_symbols
from frankensplit.training.recipe import RecipeSource
from frankensplit.writing import new_folder

FRAMES = 12  # frames for calibration, and as many others for the comparison


def _fp16(encoder: Encoder, medians: Tensor, _frames: Frames) -> onnx.ModelProto:
    return encoder_graph(encoder, medians, half=True)


def _int8(encoder: Encoder, medians: Tensor, frames: Frames) -> onnx.ModelProto:
    images = [normalise(torch.from_numpy(frame).permute(2, 0, 1)[None]) for frame in frames]
    return encoder_graph(quantise(encoder, images, SYMMETRIC), medians)


def _int8_cpu(encoder: Encoder, medians: Tensor, frames: Frames) -> onnx.ModelProto:
    folded = fold_normalisation(encoder)
    return integer_graph(quantise(folded, [as_read(frame) for frame in frames], CPU), medians)


MAKERS: dict[str, Callable[[Encoder, Tensor, Frames], onnx.ModelProto]] = {
    "fp16": _fp16,
    "int8": _int8,
    f"int8{FOR_CPUS}": _int8_cpu,
}


def write_precisions(folder: Path, frames: Frames) -> dict[str, dict[str, Any]]:
    """Write ``encoder.NAME.onnx`` for each of ``MAKERS`` and ``precisions.json`` into a codec's folder.

    Args:
        folder: of the codec.
        frames: of the training set, as ``sample`` gives them, best ``2 * FRAMES``. The even ones are calibrated on,
            the odd ones compared on; a single one serves both.

    Returns:
        What ``precisions.json`` holds: by name SHA-256 of the file, the share of integers that differ from fp32's
        (``differing_symbols``), by how much at most (``largest_difference``), and bytes over fp32's (``bytes_ratio``).

    Raises:
        DataError: there are no frames.
    """
    for old in (*folder.glob("encoder.*.onnx"), folder / "precisions.json"):
        old.unlink(missing_ok=True)  # it may be another encoder's
    codec = Codec.open(folder)
    if not frames:
        raise DataError(f"no frames to calibrate int8 on, expected {2 * FRAMES}: give data that can be read")
    calibration, others = frames[::2], frames[1::2] or frames
    encoder, medians = read_encoder(codec.encoder_path, codec.manifest["encoder"])
    wanted = read_symbols(codec.encoder_path, others, "symbols in fp32")
    figures = {}
    for name, make in MAKERS.items():
        path = folder / f"encoder.{name}.onnx"
        onnx.save(make(encoder, medians, calibration), path)
        figures[name] = {
            "sha256": sha256_of(path),
            **_compare(codec, wanted, read_symbols(path, others, f"symbols in {name}")),
        }
    (folder / "precisions.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return figures


def export_precisions(bundle: Bundle, out: Path, data: str, data_root: Path) -> dict[str, dict[str, Any]]:
    """Write a bundle again with its encoder in every precision; the codec's id and everything else stay.

    Args:
        bundle: the bundle.
        out: folder of the new one, which may be the bundle's own.
        data: training frames, as ``--data`` names them.
        data_root: folder of the data sets.

    Raises:
        DataError: the data cannot be read, or are too few.
    """
    with new_folder(out, BUNDLE) as partial:
        copy_files(bundle, partial)
        nominal = bundle.codec.nominal_height, bundle.codec.nominal_width
        figures = write_precisions(
            partial / "codec", sample([RecipeSource(data=data)], nominal, data_root, 2 * FRAMES)
        )
        kept = ("name", "codec_id", "server")
        write_manifest(partial, {key: bundle.manifest[key] for key in kept})
    return figures


def differences(figures: dict[str, Any]) -> str:
    """Say in words how far an encoder's integers are from fp32's."""
    return (
        f"{100 * figures['differing_symbols']:.2f} % of the integers differ from fp32's, by at most "
        f"{figures['largest_difference']}; {figures['bytes_ratio']:.4f} times the bytes"
    )


def _compare(
    codec: Codec, wanted: Sequence[NDArray[np.int32]], found: Sequence[NDArray[np.int32]]
) -> dict[str, float]:
    pairs = list(zip(wanted, found, strict=True))
    bits = [sum(codec.tables.ideal_bits(symbols) for symbols in frames) for frames in (wanted, found)]
    return {
        "differing_symbols": round(float(np.mean([(a != b).mean() for a, b in pairs])), 6),
        "largest_difference": max(int(np.abs(a - b).max()) for a, b in pairs),
        "bytes_ratio": round(bits[1] / bits[0], 5),
    }
