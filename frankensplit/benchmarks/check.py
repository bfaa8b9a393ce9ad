# SPDX-License-Identifier: Apache-2.0
"""``frankensplit bench check``: measure a small set again and fail where it is worse than the committed figures.

Each committed figure carries its noise: it may be worse by three times the spread of several measurements, and always
by a little that depends on its kind (1 % of bytes, 25 % of a ratio of times). What seems worse is measured twice.
Better is never a failure.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median, stdev
from typing import Any

from frankensplit.arguments import add_json, positive_int, write_json
from frankensplit.errors import DataError
from frankensplit.import_order import python_module
from frankensplit.processes import ends_with_us

BASELINE = Path("docs/results/bench.json")
SPREADS = 3  # standard deviations that are noise
FLOORS = {  # how much worse a figure may be: a share of it, and an amount in its unit
    "bytes_per_frame": (0.01, 0.0),
    "bytes_over": (0.05, 0.0),
    "loss_points": (0.0, 0.1),
    "time": (0.25, 0.0),
}
WORSE = 1  # exit status
KEYS = ("value", "spread", "allowed")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-verb's arguments."""
    parser.add_argument("bundle", nargs="?", default="street", help="folder or name (default: %(default)s)")
    parser.add_argument(
        "--baseline",
        type=Path,
        default=BASELINE,
        metavar="JSON",
        help="committed figures (default: %(default)s)",
    )
    parser.add_argument(
        "--update",
        action="store_true",
        help="measure several times and write the baseline (on an idle machine)",
    )
    parser.add_argument(
        "--runs", type=positive_int, default=5, help="measurements of --update (default: %(default)s)"
    )
    add_json(parser)


def main(args: argparse.Namespace) -> int:
    """Compare, or write the baseline."""
    from frankensplit.bundle import Bundle
    from frankensplit.evaluation.provenance import provenance

    bundle = Bundle.open(args.bundle)
    if args.update:
        runs = [_measure_in_a_process(bundle.path) for _ in range(args.runs)]
        baseline = {"bundle": bundle.name, "runs": args.runs, **provenance(), "figures": summarise(runs)}
        write_json(baseline, str(args.baseline))
        _print_baseline(baseline)
        return 0
    baseline = read_baseline(args.baseline)
    verdicts = _verdicts(baseline["figures"], bundle.path)
    _print_verdicts(verdicts)
    write_json(
        {"bundle": bundle.name, "baseline": str(args.baseline), **provenance(), "figures": verdicts},
        args.json,
    )
    return report(verdicts, args.baseline)


def read_baseline(path: Path) -> dict[str, Any]:
    """Read the committed figures.

    Raises:
        DataError: there are none, or the file is damaged.
    """
    if not path.exists():
        raise DataError(
            f"no committed figures at {path}: measure them on an idle machine with "
            f"frankensplit bench check --update --baseline {path}, or run this in the repository's folder"
        )
    try:
        baseline = json.loads(path.read_text(encoding="utf-8"))
        for name, figure in baseline["figures"].items():
            if not all(key in figure for key in KEYS):
                raise KeyError(f"{name} has no {', '.join(key for key in KEYS if key not in figure)}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
        raise DataError(
            f"{path} holds no committed figures ({type(err).__name__}: {err}); write them again with --update"
        ) from err
    return dict(baseline)


def summarise(runs: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return median, spread and the worst that is allowed of each figure.

    Args:
        runs: the figures of each measurement, by name.
    """
    return {name: _summary(name, [run[name] for run in runs if name in run]) for name in runs[0]}


def compare(committed: dict[str, dict[str, float]], now: dict[str, float]) -> dict[str, dict[str, Any]]:
    """Return committed, now, allowed and verdict of each figure; lower is better.

    The verdict is ``worse``, ``better`` (by more than the noise), ``same``, ``not measured`` or ``not committed``.
    """
    verdicts = {name: _verdict(figure, now.get(name)) for name, figure in committed.items()}
    new = {
        name: {"committed": None, "now": value, "allowed": None, "verdict": "not committed"}
        for name, value in now.items()
        if name not in committed
    }
    return verdicts | new


def report(verdicts: dict[str, dict[str, Any]], baseline: Path) -> int:
    """Say on standard error what is to be done; return the exit status."""
    worse = {name: found for name, found in verdicts.items() if found["verdict"] == "worse"}
    for name, found in worse.items():
        print(
            f"worse: {name} was {found['committed']:g}, is {found['now']:g}, allowed are {found['allowed']:g}",
            file=sys.stderr,
        )
    changed = [name for name, found in verdicts.items() if found["verdict"] in ("better", "not committed")]
    if changed and not worse:
        print(f"to hold {', '.join(changed)}: bench check --update writes {baseline} anew", file=sys.stderr)
    return WORSE if worse else 0


def _verdicts(committed: dict[str, dict[str, float]], bundle: Path) -> dict[str, dict[str, Any]]:
    """Measure and compare; what seems worse is measured once more, and its better value counts."""
    now = _measure_in_a_process(bundle)
    verdicts = compare(committed, now)
    if any(found["verdict"] == "worse" for found in verdicts.values()):
        print("something seems worse: measuring once more", file=sys.stderr)
        again = _measure_in_a_process(bundle)
        verdicts = compare(
            committed, {name: min(value, again.get(name, value)) for name, value in now.items()}
        )
    return verdicts


def _summary(name: str, values: list[float]) -> dict[str, float]:
    value, spread = median(values), stdev(values) if len(values) > 1 else 0.0
    share, unit = next(floor for kind, floor in FLOORS.items() if name.startswith(kind))
    tolerance = max(share * abs(value), unit, SPREADS * spread)
    return {"value": round(value, 4), "spread": round(spread, 4), "allowed": round(value + tolerance, 4)}


def _verdict(figure: dict[str, float], now: float | None) -> dict[str, Any]:
    value, allowed = figure["value"], figure["allowed"]
    if now is None:
        verdict = "not measured"
    elif now > allowed:
        verdict = "worse"
    else:
        verdict = "better" if now < value - (allowed - value) else "same"
    return {"committed": value, "now": now, "allowed": allowed, "verdict": verdict}


def _measure_in_a_process(bundle: Path) -> dict[str, float]:
    """Measure in a fresh process: loaded libraries and their addresses differ between processes."""
    command = python_module("frankensplit.benchmarks.small_set", str(bundle))
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, preexec_fn=ends_with_us())
    if finished.returncode:
        raise DataError(f"{' '.join(command)} ended with status {finished.returncode}, see above")
    return dict(json.loads(finished.stdout))


def _print_baseline(baseline: dict[str, Any]) -> None:
    from frankensplit.benchmarks.printing import figure, print_table

    rows = ((name, *(figure(found[key]) for key in found)) for name, found in baseline["figures"].items())
    print_table(f"{baseline['runs']} runs", ["figure", "median", "spread", "allowed"], rows)


def _print_verdicts(verdicts: dict[str, dict[str, Any]]) -> None:
    from frankensplit.benchmarks.printing import figure, print_table

    rows = (
        (name, figure(found["committed"]), figure(found["now"]), figure(found["allowed"]), found["verdict"])
        for name, found in verdicts.items()
    )
    print_table("lower is better", ["figure", "committed", "now", "allowed", ""], rows)
