# SPDX-License-Identifier: Apache-2.0
"""``frankensplit train RECIPE.yaml``: train by a recipe, or go on where it was interrupted."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from frankensplit.arguments import add_data_root, add_device, add_runs, positive_int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("recipe", type=Path, help="YAML file, see recipes/")
    parser.add_argument(
        "--encoder-from",
        metavar="BUNDLE",
        help="keep the encoder and tables of this bundle or codec as they are, and train only a blueprint for it",
    )
    parser.add_argument(
        "--head",
        metavar="BUNDLE",
        help="add the recipe's head to this bundle, of which nothing else changes",
    )
    parser.add_argument("--threads", type=positive_int, help="CPU threads (default: all)")
    add_data_root(parser)
    add_runs(parser)
    add_device(parser)


def main(args: argparse.Namespace) -> int:
    """Train; the run's folder holds checkpoint.pt and log.csv."""
    import torch

    from frankensplit.training.recipe import load_recipe
    from frankensplit.training.run import train
    from frankensplit.training.where import Where

    if args.threads:
        torch.set_num_threads(args.threads)
    recipe = load_recipe(args.recipe, args.encoder_from, args.head)
    run = train(recipe, Where(args.runs, args.data_root, args.device))
    if os.environ.get("RANK", "0") == "0":
        print(f"trained: {run}")
    return 0
