# SPDX-License-Identifier: Apache-2.0
"""AV1 where a loss may be seen for 10 frames: every 10th is a key frame (SVT-AV1).

The quality is the constant rate factor: lower is better. Preset 10 of the real-time mode, low delay.
SVT-AV1 orders its P-frames in layers of four, of which the lower have more bits: sizes differ much from frame to frame.
"""

from __future__ import annotations

from frankensplit.evaluation.rivals import Coder, Options
from frankensplit.evaluation.rivals._video import AV1, GOP10, VideoCoder

QUALITIES = (62, 58, 54, 50, 45, 39, 32, 25)
SEQUENCE = True


def open_coder(quality: int, options: Options) -> Coder:
    """Begin a stream.

    Raises:
        RuntimeUnavailable: PyAV is missing, or has no AV1 codec.
    """
    return VideoCoder(AV1, quality, GOP10, options)
