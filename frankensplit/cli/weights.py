# SPDX-License-Identifier: Apache-2.0
"""``frankensplit weights BUNDLE``: bring the backbone weights that a bundle names by reference into the cache."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("bundle", help="folder or installed name")
    parser.add_argument(
        "--file",
        type=Path,
        help="take the weights from this file, whose SHA-256 must be the one that the bundle names; without it they "
        "come from the package or hub that the bundle names",
    )


def main(args: argparse.Namespace) -> int:
    """Check the weights, convert them, and say where they are."""
    from frankensplit.bundle import Bundle
    from frankensplit.models.weights import bring, find, reference_of

    bundle = Bundle.open(args.bundle)
    reference = reference_of(bundle)
    if reference is None:
        print(f"{bundle.name} holds its backbone's weights itself")
        return 0
    if args.file or not reference.cached.is_file():
        bring(reference, args.file or find(reference))
    print(f"{reference}: {reference.cached}")
    return 0
