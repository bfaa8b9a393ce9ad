# SPDX-License-Identifier: Apache-2.0
"""Learned image codecs of the compressai package; see ``_compressai`` for what opening one raises.

Ballé et al. 2018 with a factorized prior and with a scale hyperprior, Minnen et al. 2018 with the mean as well, and
Cheng et al. 2020 with an autoregressive prior, where seconds a frame are normal.
"""

from __future__ import annotations

from frankensplit.evaluation.rivals import Coder, Options, Quality, Rival

QUALITIES = (1, 2, 3, 4, 5, 6)


def _learned(name: str) -> Rival:
    def trained(quality: Quality, options: Options) -> Coder:
        from frankensplit.evaluation.rivals._compressai import trained_coder

        return trained_coder(name, quality, options)

    def untrained(quality: Quality, options: Options) -> Coder:
        from frankensplit.evaluation.rivals._compressai import untrained_coder

        return untrained_coder(name, quality, options)

    return Rival(trained, QUALITIES, open_untrained=untrained)


RIVALS = {name: _learned(name) for name in ("fp", "hyperprior", "mshp", "cheng")}
