# SPDX-License-Identifier: Apache-2.0
"""Our own symbols through Zstandard at level 19: what the learned entropy model is worth."""

from __future__ import annotations

import io

from frankensplit.errors import RuntimeUnavailable
from frankensplit.evaluation.rivals import Coder, Options, Quality
from frankensplit.evaluation.rivals._latent import LatentCoder

SIGNAL = "latent"
QUALITIES = (None,)
LEVEL = 19


def open_coder(quality: Quality, options: Options) -> Coder:
    """Begin a stream; it has no setting.

    Raises:
        RuntimeUnavailable: the zstandard package is not installed.
    """
    try:
        import zstandard
    except ImportError:
        raise RuntimeUnavailable("zstandard is not installed: pip install zstandard") from None
    compressor, decompressor = zstandard.ZstdCompressor(level=LEVEL), zstandard.ZstdDecompressor()

    def decompress(data: bytes, at_most: int) -> bytes:
        return decompressor.stream_reader(io.BytesIO(data)).read(at_most + 1)

    return LatentCoder(compressor.compress, decompress)
