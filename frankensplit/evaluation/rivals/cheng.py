# SPDX-License-Identifier: Apache-2.0
"""Cheng et al. 2020 with an autoregressive prior (cheng2020-anchor in compressai): seconds a frame are normal."""

from __future__ import annotations

from frankensplit.evaluation.rivals import Coder, Options, Quality

QUALITIES = (1, 2, 3, 4, 5, 6)


def open_coder(quality: Quality, options: Options) -> Coder:
    """Begin a stream with given weights; see ``_compressai.trained_coder`` for what it raises."""
    from frankensplit.evaluation.rivals._compressai import trained_coder

    return trained_coder("cheng", quality, options)


def open_untrained(quality: Quality, options: Options) -> Coder:
    """Begin a stream with random weights, for timing."""
    from frankensplit.evaluation.rivals._compressai import untrained_coder

    return untrained_coder("cheng", quality, options)
