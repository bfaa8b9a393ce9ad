# SPDX-License-Identifier: Apache-2.0
"""AVIF, lossy (libaom in Pillow, 4:2:0), at speed 8 of 10: about what a robot has time for."""

from __future__ import annotations

from frankensplit.evaluation.rivals import Coder, Options
from frankensplit.evaluation.rivals._still import AvifCoder

QUALITIES = (1, 10, 20, 30, 40, 50, 65, 80, 95)


def open_coder(quality: int, options: Options) -> Coder:
    """Begin a stream of AVIF files.

    Raises:
        RuntimeUnavailable: Pillow is missing, or has no AVIF.
    """
    return AvifCoder(quality, speed=8, threads=options.threads)
