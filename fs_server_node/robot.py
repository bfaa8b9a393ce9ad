# SPDX-License-Identifier: Apache-2.0
"""One robot, or client without an encoder, as the server sees it: its counters, and who answers it."""

from __future__ import annotations

from collections.abc import Sequence

from fs_common.stream import Stream
from fs_server_node.answers import Answers


class Robot:
    """Everything that belongs to one topic of latents or images; one of ``answers`` for each bundle."""

    stream: Stream

    def __init__(self, topic: str, answers: Sequence[Answers]) -> None:
        self.topic = topic
        self.answers = answers
        self._suited: Sequence[Answers] = ()

    def wants_overlay(self) -> bool:
        """Tell whether anybody subscribes to an overlay of any bundle."""
        return any(one.wants_overlay() for one in self.answers)

    def suited(self, suited: Sequence[Answers]) -> None:
        """Note which bundles the newest frame was for."""
        self._suited = suited

    def facts(self) -> dict[str, str]:
        """Say where results of the newest frame are."""
        return {"results": ", ".join(one.place for one in self._suited)}

    def misled(self) -> str:
        """Say that somebody listens where nothing comes, since the packets are of another bundle; or nothing."""
        misled = [one for one in self.answers if one not in self._suited and one.listened()]
        if not misled or not self._suited:
            return ""
        return (
            f"somebody listens below {_places(misled)}, and packets of {self.topic} are for {_places(self._suited)}: "
            "listen there, or start the edge with the other bundle"
        )


def _places(answers: Sequence[Answers]) -> str:
    return ", ".join(f"{one.place} (bundle {one.bundle.name})" for one in answers)
