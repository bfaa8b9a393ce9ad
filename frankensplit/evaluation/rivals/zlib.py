# SPDX-License-Identifier: Apache-2.0
"""Our own symbols through zlib at its highest level: what the learned entropy model is worth."""

from __future__ import annotations

import zlib

from frankensplit.evaluation.rivals import Coder, Options, Quality
from frankensplit.evaluation.rivals._latent import LatentCoder

SIGNAL = "latent"
QUALITIES = (None,)
LEVEL = 9


def open_coder(quality: Quality, options: Options) -> Coder:
    """Begin a stream; it has no setting."""
    return LatentCoder(lambda raw: zlib.compress(raw, LEVEL), _decompress)


def _decompress(data: bytes, at_most: int) -> bytes:
    stream = zlib.decompressobj()
    raw = stream.decompress(data, at_most + 1)
    return raw if stream.eof else b""
