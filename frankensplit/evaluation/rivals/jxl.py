# SPDX-License-Identifier: Apache-2.0
"""JPEG XL, lossy (libjxl in pillow-jxl-plugin), at effort 4 of 10: about what a robot has time for."""

from __future__ import annotations

from frankensplit.evaluation.rivals import Coder, Options
from frankensplit.evaluation.rivals._still import JxlCoder

QUALITIES = (1, 10, 20, 30, 45, 60, 75, 87, 95)


def open_coder(quality: int, options: Options) -> Coder:
    """Begin a stream of JPEG XL codestreams, without container.

    Raises:
        RuntimeUnavailable: the plugin is missing.
    """
    return JxlCoder(quality, effort=4, threads=options.threads)
