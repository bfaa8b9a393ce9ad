# SPDX-License-Identifier: Apache-2.0
"""The facts on which both ends of a stream must agree. No ROS import."""

from __future__ import annotations

from frankensplit.evaluation.rivals import Rival

SEQUENCE_DEPTH = 30


def depth_of(rival: Rival) -> int:
    """Return the queue's depth: the newest packet will do, unless a decoder needs all of them."""
    return SEQUENCE_DEPTH if rival.sequence else 1
