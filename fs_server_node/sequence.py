# SPDX-License-Identifier: Apache-2.0
"""Count frames that are missing from a stream by their sequence numbers."""

from __future__ import annotations

WRAP = 2**32


class SequenceGaps:
    """Count gaps in a uint32 sequence; one that does not rise is a restarted sender, not a loss."""

    def __init__(self) -> None:
        self._last: int | None = None

    def lost_before(self, sequence: int) -> int:
        """Take the number of the frame that came and return how many before it did not."""
        last, self._last = self._last, sequence
        if last is None:
            return 0
        ahead = (sequence - last) % WRAP
        return ahead - 1 if 0 < ahead < WRAP // 2 else 0
