# SPDX-License-Identifier: Apache-2.0
"""Ranges of the arguments that networks are built with; each family lists its own in its file, as ``ARGUMENTS``.

Names and values come from bundles, which are strangers' data. So what is passed on is what a list names, and nothing
else: no argument that names a file, an address, a cache or a hub may be on any list. Sizes are bounded one by one;
the code that loads the weights checks that a network is not larger than its weights.
"""

from __future__ import annotations

from frankensplit.kinds import Kind, Number, Several, Whole
from frankensplit.manifest import MAX_CLASSES, WIDTH

DEPTH = Whole(1, 64)  # blocks of a stage; the deepest that timm has is 48
RATE = Number(0, 1)
CLASSES = Whole(0, MAX_CLASSES)
LATENT = Whole(1, 65535)  # channels; packets have 16 bits for them


def each(kind: Kind, count: int) -> Several:
    """Return the kind of a list of just ``count`` values, one a stage."""
    return Several(kind, count, count)


__all__ = ["CLASSES", "DEPTH", "LATENT", "RATE", "WIDTH", "each"]
