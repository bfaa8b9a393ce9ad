# SPDX-License-Identifier: Apache-2.0
"""``frankensplit doctor [BUNDLE]``: what this machine has, what is wrong with it, and what to do about that."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from frankensplit.arguments import add_json, write_json
from frankensplit.cli import FINDING
from frankensplit.doctor import FAULT, NOTE, OK, Finding, Machine, examine
from frankensplit.edge.runtimes import AUTO
from frankensplit.needs import PARTS

if TYPE_CHECKING:
    from rich.console import Console

STYLES = {OK: "green", NOTE: "yellow", FAULT: "bold red"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "bundle", nargs="?", help="folder or installed name of the bundle or codec to use (default: street)"
    )
    parser.add_argument(
        "--for",
        dest="parts",
        action="append",
        default=[],
        choices=PARTS,
        help="what this machine is to be, may be repeated: what it lacks for that is a fault (default: each of them is "
        "looked at, and what this machine lacks for one is a note)",
    )
    parser.add_argument(
        "--runtime",
        default=AUTO,
        metavar="NAME",
        help="runtime that the robot is to use (default: %(default)s)",
    )
    parser.add_argument(
        "--engines", type=Path, metavar="DIR", help="folder of built engines (default: in the user's cache)"
    )
    add_json(parser)


def main(args: argparse.Namespace) -> int:
    """Print each finding; return 1 if one is a fault."""
    machine = Machine(args.bundle, args.runtime, tuple(args.parts), args.engines)
    found = examine(machine)
    stream = sys.stderr if args.json == "-" else sys.stdout
    findings = _print_table(found, stream) if stream.isatty() else _print_lines(found, stream)
    result = as_json(findings)
    write_json(result, args.json)
    return FINDING if result["faults"] else 0


def as_json(findings: Iterable[tuple[str, Finding]]) -> dict[str, Any]:
    """Return what ``--json`` writes."""
    findings = list(findings)
    levels = Counter(finding.level for _, finding in findings)
    rows = [{"check": title, **asdict(finding)} for title, finding in findings]
    return {"faults": levels[FAULT], "notes": levels[NOTE], "findings": rows}


def _print_lines(found: Iterable[tuple[str, Finding]], stream: TextIO) -> list[tuple[str, Finding]]:
    """Print a line as soon as it is known."""
    findings = []
    for title, finding in found:
        findings.append((title, finding))
        print(f"{finding.level:5} {title}: {finding.name}: {finding.text}", file=stream, flush=True)
        if finding.remedy:
            print(f"      -> {finding.remedy}", file=stream, flush=True)
    print(_summary(findings), file=stream)
    return findings


def _print_table(found: Iterable[tuple[str, Finding]], stream: TextIO) -> list[tuple[str, Finding]]:
    from rich.console import Console

    console = Console(file=stream, markup=False, emoji=False)
    findings = []
    with console.status("looking") as status:
        for title, finding in found:
            findings.append((title, finding))
            status.update(f"looking at {title}")
    _print_findings(console, findings)
    console.print(_summary(findings))
    return findings


def _print_findings(console: Console, findings: list[tuple[str, Finding]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(show_lines=False)
    for column in ("check", "", "", "found, and what to do"):
        table.add_column(column, overflow="fold")
    last = ""
    for title, finding in findings:
        if title != last:
            table.add_section()
        style = STYLES[finding.level]
        text = Text(finding.text)
        if finding.remedy:
            text.append(f"\n-> {finding.remedy}", style=style)
        table.add_row("" if title == last else title, finding.name, Text(finding.level, style=style), text)
        last = title
    console.print(table)


def _summary(findings: list[tuple[str, Finding]]) -> str:
    levels = Counter(finding.level for _, finding in findings)
    return f"{levels[FAULT]} faults, {levels[NOTE]} notes, {levels[OK]} ok"
