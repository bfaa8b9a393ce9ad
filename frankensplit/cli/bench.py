# SPDX-License-Identifier: Apache-2.0
"""``frankensplit bench WHAT``: one module each, of ``fs_bench`` where nodes run, imported only when it is called."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any

SUB_VERBS = {
    "components": "time, size, memory and energy of each part of each codec, in one run",
    "link": "milliseconds a frame and frames a second over links, from BLE to 5G",
    "network": "the real nodes over a link of limited rate that loses packets",
    "training": "train, export and evaluate by several recipes: what does a change of recipe do?",
    "curve": "how fast a training comes within reach of another: accuracy of the weights kept on the way",
    "edge": "what a frame costs the robot, by encoder and precision, beside picture codecs; the node's memory",
    "check": "re-measure a small set and fail where it became worse than the committed figures",
}

WITH_NODES = ("edge", "network")


class _LazyParser(argparse.ArgumentParser):
    """A parser that asks its module for the arguments when it is used for the first time."""

    module: str | None = None

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        if self.module:
            _load(self.module).add_arguments(self)
            self.module = None
        return super().parse_known_args(args, namespace)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-verbs."""
    subparsers = parser.add_subparsers(dest="what", required=True, metavar="WHAT", parser_class=_LazyParser)
    for name, summary in SUB_VERBS.items():
        subparsers.add_parser(name, help=summary, description=summary).module = name


def main(args: argparse.Namespace) -> int:
    """Run one sub-verb."""
    return int(_load(args.what).main(args))


def _load(name: str) -> ModuleType:
    package = "fs_bench" if name in WITH_NODES else "frankensplit.benchmarks"
    return importlib.import_module(f"{package}.{name}")
