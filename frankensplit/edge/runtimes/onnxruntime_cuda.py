# SPDX-License-Identifier: Apache-2.0
"""Run the encoder on an NVIDIA GPU by ONNX Runtime's CUDA provider."""

from __future__ import annotations

from typing import ClassVar

from frankensplit.edge.runtimes import Probe, onnxruntime

PREFERENCE = 10
PROVIDER = "CUDAExecutionProvider"


def probe() -> Probe:
    """Say whether the installed ONNX Runtime has the provider."""
    return onnxruntime.probe_provider(PROVIDER)


class Runtime(onnxruntime.Runtime):
    """Execute the encoder on an NVIDIA GPU."""

    provider: ClassVar[str] = PROVIDER
