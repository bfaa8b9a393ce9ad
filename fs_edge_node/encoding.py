# SPDX-License-Identifier: Apache-2.0
"""The encoder that the parameters ask for."""

from __future__ import annotations

from frankensplit.bundle import Codec
from frankensplit.edge.encoder import FrameEncoder
from frankensplit.edge.runtimes import RuntimeOptions
from frankensplit.places import user_path
from fs_edge_node.parameters import EdgeParameters


def open_encoder(codec: Codec, chosen: EdgeParameters) -> FrameEncoder:
    """Open the encoder in the runtime and precision that were chosen.

    Raises:
        RuntimeUnavailable: this machine lacks the runtime.
        BundleError: the bundle has no encoder of this precision, or it does not load.
    """
    engines = user_path(chosen.engines) if chosen.engines else None
    return FrameEncoder(
        codec, chosen.runtime, chosen.threads, chosen.precision, RuntimeOptions(engines=engines)
    )


def level_problem(codec: Codec, level: int) -> str | None:
    """Say why a codec cannot code at a quality level, or None."""
    if level < len(codec.levels):
        return None
    return f"level is {level}, this codec has 0 to {len(codec.levels) - 1}: choose one, or a bundle with more"
