# SPDX-License-Identifier: Apache-2.0
"""``frankensplit bench training RECIPE...``: train by each recipe, export, and evaluate.

What is finished is not done again, so more recipes may be added to a comparison later.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frankensplit.arguments import (
    EVALUATIONS,
    NOMINAL,
    WEIGHTS_LICENCE,
    add_data_root,
    add_device,
    add_json,
    add_runs,
    output_file,
    positive_int,
    write_json,
)
from frankensplit.places import CACHE

if TYPE_CHECKING:
    from frankensplit.training.where import Where

BUNDLES = CACHE / "bundles"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-verb's arguments."""
    parser.add_argument("recipes", nargs="+", type=Path, metavar="RECIPE", help="recipes of codecs or heads")
    parser.add_argument(
        "--data", required=True, metavar="SPEC", help="what to evaluate on, such as camvid:val"
    )
    parser.add_argument("--frames", type=positive_int, help="evaluate on the first so many frames only")
    parser.add_argument(
        "--plot", type=output_file, metavar="PNG", help="draw points lost against bytes, head by head"
    )
    add_data_root(parser)
    add_runs(parser)
    add_device(parser)
    add_json(parser)


def main(args: argparse.Namespace) -> int:
    """Train, export, evaluate; print a table, write JSON and plot."""
    from frankensplit.evaluation.provenance import provenance
    from frankensplit.training.where import Where

    where = Where(args.runs, args.data_root, args.device)
    rows = [_row(recipe, args.data, args.frames, where) for recipe in args.recipes]
    result = {"data": args.data, "rows": rows} | provenance()
    _print(rows)
    write_json(result, args.json)
    if args.plot:
        from frankensplit.benchmarks.training_plot import draw

        draw(rows, Path(args.plot))
    return 0


def summary_markdown(result: dict[str, Any]) -> str:
    """Return a table of the rows: bytes, and each labelled head's points lost with their interval."""
    rows = result["rows"]
    heads = {name: head for row in rows for name, head in row["heads"].items() if head["truth"] == "labels"}
    titles = [f"{name} {head['metric']}" for name, head in heads.items()]
    lines = [
        f"`{result['command']}` on {rows[0]['frames']} frames; points lost to the unmodified backbone (95 %).",
        "",
        f"| recipe | bytes a frame | {' | '.join(titles)} |",
        f"|---|---|{'---|' * len(heads)}",
    ]
    for row in rows:
        cells = " | ".join(_cell(row["heads"].get(name)) for name in heads)
        lines.append(f"| {row['name']} | {row['bytes_per_frame']:.0f} | {cells} |")
    return "\n".join(lines) + "\n"


def _cell(head: dict[str, Any] | None) -> str:
    if head is None:
        return ""
    low, high = head["ci95"]
    return f"{head['unmodified']:.2f} to {head['value']:.2f}: {head['loss_points']:.2f} ({low:.2f} to {high:.2f})"


def _row(path: Path, data: str, limit: int | None, where: Where) -> dict[str, Any]:
    from frankensplit.evaluation.evaluate import evaluate
    from frankensplit.evaluation.measure import Setup
    from frankensplit.training.export.bundle import export_run
    from frankensplit.training.recipe import load_recipe
    from frankensplit.training.run import train

    recipe = load_recipe(path)
    run = train(recipe, where)
    bundle = BUNDLES / recipe.name
    if not _is_newer(bundle / "manifest.json", run / "checkpoint.pt"):
        export_run(run, bundle, recipe.name, NOMINAL, where.data_root, WEIGHTS_LICENCE)
    setup = Setup(str(bundle), data, where.data_root, limit=limit, device=where.device)
    workers = len(os.sched_getaffinity(0)) if where.device == "cpu" else 1
    result = evaluate(setup, [], EVALUATIONS, workers)
    return {
        "recipe": path.as_posix(),
        "name": recipe.name,
        "settings": _settings(recipe.model_dump(mode="json")),
        "codec_id": result["codec_id"],
        "frames": result["frames"],
        "heads": {name: _figures(head) for name, head in result["heads"].items()},
        **_ours(result),
        "training": read_cost(run),
    }


def _is_newer(path: Path, other: Path) -> bool:
    return path.exists() and path.stat().st_mtime >= other.stat().st_mtime


def _settings(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return what such comparisons vary."""
    keys = (
        "task",
        "teacher",
        "bundle",
        "objective",
        "channel_weight",
        "saliency",
        "rate",
        "encoder_from",
        "features",
    )
    chosen = {key: recipe[key] for key in keys if recipe.get(key) is not None}
    return {
        **chosen,
        "steps": recipe["schedule"]["steps"],
        "batch": recipe["schedule"]["batch"],
        "seed": recipe["seed"],
    }


def _ours(result: dict[str, Any]) -> dict[str, Any]:
    row = next(iter(result["heads"].values()))["rows"][0]
    return {key: row[key] for key in ("bytes_per_frame", "bpp")}


def _figures(head: dict[str, Any]) -> dict[str, Any]:
    row = head["rows"][0]
    about = {key: head[key] for key in ("metric", "truth", "unmodified")}
    return about | {key: row[key] for key in ("value", "loss_points", "ci95")}


def read_cost(run: Path) -> dict[str, Any] | None:
    """Return what a run took, from its ``run.json``; None where it has none."""
    from frankensplit.training.finished import read_json

    path = run / "run.json"
    return read_json(path) if path.exists() else None


def _print(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    heads = rows[0]["heads"]
    table = Table(title="points lost to the unmodified backbone (95 %)")
    for column in ("recipe", "bytes a frame", *(f"{name} {head['metric']}" for name, head in heads.items())):
        table.add_column(column, justify="left" if column == "recipe" else "right")
    for row in rows:
        cells = (
            f"{head['loss_points']:.2f} ({head['ci95'][0]:.2f} to {head['ci95'][1]:.2f})"
            for head in row["heads"].values()
        )
        table.add_row(row["name"], f"{row['bytes_per_frame']:.0f}", *cells)
    Console(stderr=True, markup=False, emoji=False).print(table)
