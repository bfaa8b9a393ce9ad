# SPDX-License-Identifier: Apache-2.0
"""Bundles at work: networks loaded, and which of their heads run at which threshold."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from frankensplit.bundle import Bundle
from fs_server_node.names import places_of
from fs_server_node.parameters import ALL_HEADS, ServerParameters

if TYPE_CHECKING:
    from frankensplit.inference.predictor import HeadInfo, Predictor


@dataclass
class Served:
    """A bundle, its networks, and what its results' names have after a topic's prefix (``place``).

    The networks can be let go of by ``free`` and loaded again by ``load``; ``heads`` stay.
    """

    bundle: Bundle
    predictor: Predictor | None
    place: str
    heads: Mapping[str, HeadInfo]

    def load(self, chosen: ServerParameters) -> None:
        """Load the networks, if they are not there; raises as ``open_served``."""
        if self.predictor is None:
            self.predictor = _predictor(self.bundle, chosen)

    def free(self) -> None:
        """Let go of the networks; a frame at work still ends."""
        self.predictor = None

    def thresholds(self, chosen: ServerParameters) -> dict[str, float]:
        """Give the score from which on something counts, by head."""
        asked = chosen.score_threshold
        heads = self.heads.values()
        return {head.name: asked if asked and head.kind == "boxes" else head.threshold for head in heads}

    def active_heads(self, chosen: ServerParameters) -> list[str]:
        """List the heads that may run; another bundle's names say nothing here."""
        return [name for name in self.heads if ALL_HEADS in chosen.heads or name in chosen.heads]


def open_served(bundles: Sequence[Bundle], chosen: ServerParameters) -> list[Served]:
    """Load the networks of every bundle.

    Raises:
        BundleError: weights do not fit the networks that a manifest names.
        RuntimeUnavailable: the device is not there.
    """
    predictors = [_predictor(bundle, chosen) for bundle in bundles]
    return [
        Served(bundle, predictor, place, predictor.heads)
        for bundle, predictor, place in zip(bundles, predictors, places_of(bundles), strict=True)
    ]


def return_memory() -> None:
    """Give back to the device what freed networks had; torch keeps it otherwise."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _predictor(bundle: Bundle, chosen: ServerParameters) -> Predictor:
    # Torch takes seconds to import: only once parameters and bundles are known to be good.
    from frankensplit.inference.predictor import Predictor

    return Predictor(bundle, device=chosen.device, threads=chosen.threads)


def heads_problem(served: Sequence[Served], heads: Sequence[str]) -> str | None:
    """Say which of the chosen heads no bundle has, or None."""
    known = dict.fromkeys((ALL_HEADS, *(name for one in served for name in one.heads)))
    unknown = [name for name in heads if name not in known]
    if not unknown:
        return None
    return f"heads names {', '.join(unknown)}: the bundles served here have {', '.join(known)}"
