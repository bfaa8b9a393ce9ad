# SPDX-License-Identifier: Apache-2.0
"""Prepare trainings of heads for finished bundles, and write the bundles that have them."""

from __future__ import annotations

from frankensplit.training.batches import Batches
from frankensplit.training.head_task import TrainHead
from frankensplit.training.recipe import HeadRecipe
from frankensplit.training.where import Where


def prepare_head(recipe: HeadRecipe, where: Where) -> tuple[TrainHead, Batches]:
    """Build the head on a bundle's features, and read the data."""
    raise NotImplementedError
