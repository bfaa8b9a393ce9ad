# SPDX-License-Identifier: Apache-2.0
"""AV1 where each frame must decode alone: key frames only (SVT-AV1).

The quality is the constant rate factor: lower is better. Preset 10 of the real-time mode, low delay.
SVT-AV1 lends key frames bits that later frames repay. There are none here, so that bonus is switched off: it would
only shift the scale of qualities. A key frame holds temporal delimiter and sequence header; both are counted.
"""

from __future__ import annotations

from frankensplit.evaluation.rivals import Coder, Options
from frankensplit.evaluation.rivals._video import AV1_INTRA, INTRA, VideoCoder

QUALITIES = (58, 54, 50, 45, 39, 32, 25, 17)
SEQUENCE = True  # each packet decodes alone, but the encoder's rate control remembers


def open_coder(quality: int, options: Options) -> Coder:
    """Begin a stream.

    Raises:
        RuntimeUnavailable: PyAV is missing, or has no AV1 codec.
    """
    return VideoCoder(AV1_INTRA, quality, INTRA, options)
