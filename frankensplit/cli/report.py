# SPDX-License-Identifier: Apache-2.0
"""``frankensplit report``: one page of curves, tables and pictures from measured results."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from frankensplit.arguments import add_data_root, add_json, positive_int, write_json

if TYPE_CHECKING:
    from frankensplit.report.pictures import Pictures
    from frankensplit.report.read import Results

RESULTS = Path("docs/results")
NO_PICTURES = "none"
PAGE = "report.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.description = (
        "Write report.html, one page that needs no other file, and a PNG of each rate-accuracy plot, from the JSON "
        "that evaluate and bench wrote. What is not there is named on the page with the command that makes it."
    )
    parser.add_argument(
        "--results",
        nargs="+",
        type=Path,
        default=[RESULTS],
        metavar="PATH",
        help=f"JSON files, or folders of them (default: {RESULTS})",
    )
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR", help="(default: %(default)s)")
    parser.add_argument(
        "--pictures",
        default="street:val",
        metavar="SPEC",
        help="frames to show side by side: street:val, SET:SPLIT, a folder, video or rosbag; none leaves them out "
        "(default: %(default)s, which may be passed on; mind the licence of other data)",
    )
    parser.add_argument(
        "--bundle",
        metavar="NAME",
        help="folder or name of the bundle for the pictures (default: the results')",
    )
    parser.add_argument(
        "--frames", type=positive_int, default=4, help="how many frames to show (default: %(default)s)"
    )
    add_data_root(parser)
    add_json(parser)


def main(args: argparse.Namespace) -> int:
    """Read results, write page and plots, say what is missing."""
    from frankensplit.errors import RuntimeUnavailable
    from frankensplit.report.read import read_results
    from frankensplit.writing import check_file

    check_file(args.out / PAGE)
    results = read_results(args.results)
    try:
        from frankensplit.report.page import make_report, write_report
    except ModuleNotFoundError as err:
        raise RuntimeUnavailable(f"a report needs {err.name}: pip install 'frankensplit[evaluate]'") from err
    report = make_report(results, _pictures(args, results))
    written = write_report(report, args.out)
    for kind, command in results.missing.items():
        print(f"no {kind} results; they come from: {command}", file=sys.stderr)
    print(
        f"{written[0]} ({written[0].stat().st_size / 1e6:.1f} MB) and {len(written) - 1} plots",
        file=sys.stderr,
    )
    write_json(
        {"files": [str(path) for path in written], "missing": results.missing},
        args.json,
    )
    return 0


def _pictures(args: argparse.Namespace, results: Results) -> Pictures | str:
    """Return the pictures, or why there are none."""
    if args.pictures == NO_PICTURES:
        return "Left out. frankensplit report --pictures street:val shows frames of the synthetic street."
    from frankensplit.bundle import Bundle
    from frankensplit.errors import BundleError, DataError, RuntimeUnavailable

    try:
        from frankensplit.report.pictures import compare

        name = args.bundle or results.all[0].bundle
        return compare(Bundle.open(name), args.pictures, args.data_root, args.frames)
    except (BundleError, DataError, RuntimeUnavailable, ModuleNotFoundError) as err:
        reason = f"No pictures of {args.pictures}: {err}."
        print(reason, file=sys.stderr)
        return f"{reason} Name bundle and data with --bundle, --pictures and --data-root."
