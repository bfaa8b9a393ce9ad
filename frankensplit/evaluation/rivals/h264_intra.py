# SPDX-License-Identifier: Apache-2.0
"""H.264 where each frame must decode alone: key frames only (x264, veryfast, zero latency).

The quality is the constant rate factor: lower is better.
"""

from __future__ import annotations

from frankensplit.evaluation.rivals import Coder, Options
from frankensplit.evaluation.rivals._video import H264, INTRA, VideoCoder

QUALITIES = (44, 40, 37, 34, 31, 28, 24, 20)
SEQUENCE = True  # each packet decodes alone, but the encoder's rate control remembers


def open_coder(quality: int, options: Options) -> Coder:
    """Begin a stream.

    Raises:
        RuntimeUnavailable: PyAV is missing, or has no H.264 codec.
    """
    return VideoCoder(H264, quality, INTRA, options)
