# SPDX-License-Identifier: Apache-2.0
"""One robot, or client without an encoder, as the server sees it: its counters, and who answers it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fs_common.stream import Stream
from fs_server_node.answers import Answers


@dataclass(frozen=True)
class Robot:
    """Everything that belongs to one topic of latents or images; one of ``answers`` for each bundle."""

    topic: str
    stream: Stream
    answers: Sequence[Answers]

    def wants_overlay(self) -> bool:
        """Tell whether anybody subscribes to an overlay of any bundle."""
        return any(one.wants_overlay() for one in self.answers)
