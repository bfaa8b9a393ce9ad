# SPDX-License-Identifier: Apache-2.0
"""Parameters of the edge node."""

from __future__ import annotations

from dataclasses import dataclass

from frankensplit.edge.runtimes import AUTO, runtime_names
from fs_common.parameters import CommonParameters, parameter


@dataclass(frozen=True)
class EdgeParameters(CommonParameters):
    """What the edge node takes."""

    transport: str = parameter(
        "raw", "Subscribe to `image` (raw) or `image/compressed` (compressed)", choices=("raw", "compressed")
    )
    converter: str = parameter(
        "auto",
        "Conversion of raw images: auto takes cv_bridge where it works",
        choices=("auto", "cv_bridge", "builtin"),
    )
    runtime: str = parameter(
        "onnxruntime", "Inference runtime of the encoder", choices=(AUTO, *runtime_names())
    )
    threads: int = parameter(1, "CPU threads of the encoder", limits=(1, 64))
