# SPDX-License-Identifier: Apache-2.0
"""``frankensplit bench curve RUN...``: accuracy of the weights that a run kept on its way (``schedule.keep_every``).

The first run is the reference: from which step on is each other one within reach of what the reference ends with (paper
Figures 12 and 16)? Latents are rounded as packets bring them; no bytes are made, since blueprints and re-routed layers
do not change them.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frankensplit.arguments import add_data_root, add_device, add_json, add_runs, positive_int, write_json

if TYPE_CHECKING:
    from frankensplit.data.frames import Frames
    from frankensplit.training.tasks.backbone import BackboneWithHeads
    from frankensplit.training.tasks.codec import TrainBlueprint, TrainCodec
    from frankensplit.training.tasks.reroute import TrainReroute
    from frankensplit.training.where import Where

WITHIN_POINTS = 0.25


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-verb's arguments."""
    parser.add_argument(
        "run",
        nargs="+",
        help="name of a codec's, blueprint's or re-routing's run; the first is the reference",
    )
    parser.add_argument(
        "--data", required=True, metavar="SPEC", help="labelled frames to measure on, such as camvid:val"
    )
    parser.add_argument("--frames", type=positive_int, help="the first so many frames only")
    parser.add_argument(
        "--within",
        type=float,
        default=WITHIN_POINTS,
        metavar="POINTS",
        help="what counts as within reach (%(default)s)",
    )
    add_data_root(parser)
    add_runs(parser)
    add_device(parser)
    add_json(parser)


def main(args: argparse.Namespace) -> int:
    """Measure each run's curve, print them, write JSON."""
    from frankensplit.evaluation.provenance import provenance
    from frankensplit.training.where import Where

    where = Where(args.runs, args.data_root, args.device)
    runs = [_measure_run(where, name, args.data, args.frames) for name in args.run]
    goal = runs[0]["rows"][-1]["heads"]
    for run in runs:
        run["steps_to_within"] = {
            head: _first_within(run["rows"], head, goal[head], args.within) for head in goal
        }
    result = {"data": args.data, "within_points": args.within, "goal": goal, "runs": runs} | provenance()
    _print(result)
    write_json(result, args.json)
    return 0


def summary_markdown(result: Mapping[str, Any]) -> str:
    """Return a table of each run's values step by step, and when it came within reach of the reference's last ones."""
    heads = list(result["goal"])
    lines = [
        f"`{result['command']}`.",
        "",
        f"| run | steps | {' | '.join(heads)} |",
        f"|---|---|{'---|' * len(heads)}",
    ]
    for run in result["runs"]:
        rows = [(str(row["step"]), row["heads"]) for row in run["rows"]] + [
            ("unmodified backbone", run["unmodified"])
        ]
        lines += [
            f"| {run['run']} | {at} | {' | '.join(f'{values[h]:.2f}' for h in heads)} |"
            for at, values in rows
        ]
        reached = " | ".join(
            "never" if step is None else f"step {step}" for step in run["steps_to_within"].values()
        )
        lines.append(
            f"| {run['run']} | within {result['within_points']:g} of {result['runs'][0]['run']} | {reached} |"
        )
    return "\n".join(lines) + "\n"


def _first_within(rows: Sequence[Mapping[str, Any]], head: str, goal: float, points: float) -> int | None:
    """Return the step of the first kept weights that are within this many points of the goal."""
    return next((row["step"] for row in rows if row["heads"].get(head, -1.0) >= goal - points), None)


def _measure_run(where: Where, name: str, data: str, limit: int | None) -> dict[str, Any]:
    from frankensplit.benchmarks.training import read_cost
    from frankensplit.data.frames import open_frames
    from frankensplit.errors import RecipeError
    from frankensplit.models.heads import truth_classes
    from frankensplit.progress import ProgressMeter
    from frankensplit.training.loop.checkpoint import kept_steps, load_weights

    run = where.runs / name
    recipe = load_weights(run)[1]
    steps = kept_steps(run)
    if not steps:
        raise RecipeError(
            f"{run} kept no weights of earlier steps: set schedule.keep_every in its recipe, and train it again"
        )
    task = _load(run, recipe["task"])
    teacher = task.objective.teacher
    frames = open_frames(data, where.data_root, limit=limit, **truth_classes(teacher.labels))
    rows: list[dict[str, Any]] = []
    with ProgressMeter(name, len(steps) + 1) as meter:
        unmodified = _accuracy(None, teacher, frames, where.device)
        meter.advance("unmodified backbone")
        for step in steps:
            task.load_state_dict(load_weights(run, step=step)[0])
            rows.append({"step": step, "heads": _accuracy(task, teacher, frames, where.device)})
            meter.advance(f"step {step}")
    return {"run": name, "recipe": recipe, "unmodified": unmodified, "rows": rows, "training": read_cost(run)}


def _load(run: Path, task: str) -> TrainCodec | TrainBlueprint | TrainReroute:
    from frankensplit.errors import RecipeError
    from frankensplit.training.tasks.codec_run import load_codec
    from frankensplit.training.tasks.reroute_run import load_reroute

    if task == "codec":
        return load_codec(run)[0]
    if task == "reroute":
        return load_reroute(run)
    raise RecipeError(f"{run} is a run of task {task!r}: curves are of 'codec' and 'reroute'")


def _accuracy(
    task: TrainCodec | TrainBlueprint | TrainReroute | None,
    teacher: BackboneWithHeads,
    frames: Frames,
    device: str,
) -> dict[str, float]:
    """Return each head's metric on the frames, behind a task's features or (None) behind the backbone's own."""
    import torch

    from frankensplit.evaluation.metrics import metric_for
    from frankensplit.geometry import MULTIPLE, Geometry
    from frankensplit.models.backbone import freeze
    from frankensplit.models.heads import head_class, heads_with_truth
    from frankensplit.models.placement import place

    labels = teacher.labels
    names = heads_with_truth(labels, frames.truth)
    metrics = {name: metric_for(head_class(name, labels[name]).kind, labels[name]) for name in names}
    contributions: dict[str, list[Any]] = {name: [] for name in names}
    backbone = teacher.backbone
    shallow: Any = lambda images: backbone.shallow(backbone.normalise(images))  # noqa: E731
    if task is not None:
        freeze(place(task, device))
        shallow = task.restore
    freeze(place(teacher, device))
    for frame in frames:
        height, width = frame.rgb.shape[:2]
        geometry = Geometry(height, width, height, width, MULTIPLE)
        image = torch.from_numpy(geometry.prepare(frame.rgb)).to(device).permute(2, 0, 1).unsqueeze(0)
        with torch.inference_mode():
            features = backbone.tail(shallow(image))
            for name in names:
                head: Any = teacher.heads[name]
                result = head.result(head(features), geometry)
                truth = head.truth(frame.truth, labels[name])
                contributions[name].append(metrics[name].frame(result, truth))
    return {name: round(metrics[name].value(contributions[name]), 3) for name in names}


def _print(result: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(stderr=True, markup=False, emoji=False)
    for run in result["runs"]:
        table = Table(title=run["run"])
        for column in ("step", *run["unmodified"]):
            table.add_column(column, justify="right")
        for row in run["rows"]:
            table.add_row(str(row["step"]), *(f"{value:.2f}" for value in row["heads"].values()))
        table.add_row("unmodified", *(f"{value:.2f}" for value in run["unmodified"].values()))
        console.print(table)
        for head, step in run["steps_to_within"].items():
            reached = "never" if step is None else f"at step {step}"
            console.print(
                f"{head}: within {result['within_points']:g} points of {result['goal'][head]:.2f} {reached}"
            )
