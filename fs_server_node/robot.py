# SPDX-License-Identifier: Apache-2.0
"""One robot as the server sees it: where its results go, its counters, its camera for overlays."""

from __future__ import annotations

from dataclasses import dataclass, field

from fs_common.stream import Stream
from fs_server_node.backdrop import Backdrop
from fs_server_node.outputs import Outputs
from fs_server_node.sequence import SequenceGaps


@dataclass(frozen=True)
class Robot:
    """Everything that belongs to one latent topic."""

    topic: str
    outputs: Outputs
    stream: Stream
    gaps: SequenceGaps = field(default_factory=SequenceGaps)
    backdrop: Backdrop = field(default_factory=Backdrop)


def prefix_of(latent_topic: str) -> str:
    """Give what the names of a robot's results begin with: ``robot1/latent`` gives ``robot1/``."""
    namespace, slash, _ = latent_topic.rpartition("/")
    return namespace + slash
