# SPDX-License-Identifier: Apache-2.0
"""The command ``frankensplit VERB ...``: one module a verb, imported only when it is called."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from frankensplit import __version__
from frankensplit.errors import FrankensplitError, OutputError
from frankensplit.import_order import forget_current_folder
from frankensplit.needs import NEEDS, brought_by
from frankensplit.processes import Interrupted, signals_interrupt

VERBS = {
    "demo": "camera, edge and server node as processes, with a live table",
    "train": "train a backbone, a codec, a blueprint alone or one more head, by a recipe",
    "adapt": "fit a bundle to the frames of a new site, which need no labels",
    "saliency": "where a backbone looks: maps for saliency-guided training",
    "evaluate": "accuracy against bytes of a bundle and of rival codecs on a data set",
    "bench": "speed of each part, of links, and the standing check",
    "report": "one page of curves, tables and pictures from measured results",
    "export": "write a bundle from finished training runs",
    "weights": "bring the backbone weights that a bundle names by reference into the cache",
    "info": "what a bundle holds, with every hash verified",
    "doctor": "what this machine has, what is wrong with it, and what to do about that",
}

FINDING, WRONG_USAGE = 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; return 0, 1 (a finding), 2 (wrong usage or an error), or 128 and the number of a signal."""
    forget_current_folder()  # verbs are imported below
    try:
        with signals_interrupt():
            return _main(argv)
    except Interrupted as interrupted:
        return 128 + interrupted.number
    except KeyboardInterrupt:  # Ctrl-C at the first or last moment
        return 128 + signal.SIGINT


def _main(argv: Sequence[str] | None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="frankensplit",
        description="Camera frames as packets of a few kilobytes that hold what models need. "
        "Options of a verb: frankensplit VERB --help",
    )
    parser.add_argument("--version", action="version", version=f"frankensplit {__version__}")
    subparsers = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, summary in VERBS.items():
        subparser = subparsers.add_parser(verb, help=summary, description=summary)
        if arguments[:1] == [verb]:
            importlib.import_module(f"frankensplit.cli.{verb}").add_arguments(subparser)
    try:
        args = parser.parse_args(arguments)
        status = int(importlib.import_module(f"frankensplit.cli.{args.verb}").main(args))
        sys.stdout.flush()
        return status
    except (
        FrankensplitError,
        OSError,
    ) as err:  # the latter: disks and devices where no code of ours says more
        if isinstance(err, (OSError, OutputError)):
            _forget_output()
        with suppress(OSError):
            print(f"frankensplit {arguments[0]}: {err}", file=sys.stderr)
        return WRONG_USAGE
    except ModuleNotFoundError as err:
        print(f"frankensplit {arguments[0]}: {_not_installed(err)}", file=sys.stderr)
        return WRONG_USAGE


def _not_installed(err: ModuleNotFoundError) -> str:
    """Say which command brings a package that is missing; raise the error again where it is none that we know."""
    name = (err.name or "").partition(".")[0]
    if name not in NEEDS["train"]:
        raise err
    return f"{name} is not installed: {brought_by('train', [name])}"


def _forget_output() -> None:
    """Let nobody complain again at the end of the process, when what is open is written for the last time."""
    sys.unraisablehook = lambda hint: (
        None if isinstance(hint.exc_value, OSError) else sys.__unraisablehook__(hint)
    )
    threading.excepthook = lambda hint: (
        None if isinstance(hint.exc_value, OSError) else threading.__excepthook__(hint)
    )
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError), Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
