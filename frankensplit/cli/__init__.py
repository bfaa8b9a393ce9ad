# SPDX-License-Identifier: Apache-2.0
"""The command ``frankensplit VERB ...``: one module a verb, imported only when it is called."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from frankensplit import __version__
from frankensplit.errors import FrankensplitError
from frankensplit.import_order import forget_current_folder

VERBS = {
    "demo": "camera, edge and server node as processes, with a live table",
    "train": "train a backbone, a codec, a blueprint alone or one more head, by a recipe",
    "adapt": "fit a bundle to the frames of a new site, which need no labels",
    "saliency": "where a backbone looks: maps for saliency-guided training",
    "evaluate": "accuracy against bytes of a bundle and of rival codecs on a data set",
    "bench": "speed of each part, of links, and the standing check",
    "report": "one page of curves, tables and pictures from measured results",
    "export": "write a bundle from finished training runs",
    "info": "what a bundle holds, with every hash verified",
    "doctor": "what this machine has, what is wrong with it, and what to do about that",
}

FINDING, WRONG_USAGE = 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; return 0, 1 (a finding or an error) or 2 (wrong usage)."""
    forget_current_folder()  # verbs are imported below
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="frankensplit", description=__doc__.splitlines()[0])
    parser.add_argument("--version", action="version", version=f"frankensplit {__version__}")
    subparsers = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, summary in VERBS.items():
        subparser = subparsers.add_parser(verb, help=summary, description=summary)
        if arguments[:1] == [verb]:
            importlib.import_module(f"frankensplit.cli.{verb}").add_arguments(subparser)
    args = parser.parse_args(arguments)
    try:
        return int(importlib.import_module(f"frankensplit.cli.{args.verb}").main(args))
    except FrankensplitError as err:
        print(f"frankensplit {args.verb}: {err}", file=sys.stderr)
        return FINDING
    except KeyboardInterrupt:
        return 130
