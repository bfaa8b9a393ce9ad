# SPDX-License-Identifier: Apache-2.0
"""The reports of a run under way: tables, TensorBoard, progress with time left."""

from __future__ import annotations

import shutil
from pathlib import Path

from lightning_fabric.loggers.tensorboard import TensorBoardLogger

from frankensplit.progress import ProgressMeter
from frankensplit.training.loop.figures import StepTable, read_table

LOG, HELD_OUT = "log.csv", "held-out.csv"
EVENTS = "tensorboard"


class TrainingLog:
    """Writes a run's figures into its folder; a resumed run's go on where its checkpoint is.

    Args:
        run: folder of the run, whose name heads the progress.
        steps: steps in all.
        first: the first step of this session.
    """

    def __init__(self, run: Path, steps: int, first: int) -> None:
        self.run = run
        self._log, self._held_out = StepTable(run / LOG, first), StepTable(run / HELD_OUT, first + 1)
        self._events = TensorBoardLogger(root_dir=run, name=EVENTS, version="")
        self._replay()
        self._meter = ProgressMeter(run.name, steps, first)

    def __enter__(self) -> TrainingLog:
        """Begin to show progress."""
        self._meter.__enter__()
        return self

    def __exit__(self, *problem: object) -> None:
        """End it and write all figures to disk."""
        self._meter.__exit__(*problem)
        self._events.finalize("")

    def step(self, step: int, figures: dict[str, float]) -> None:
        """Tell the figures of a training step."""
        self._log.write(step, figures)
        self._events.log_metrics(figures, step)
        self._meter.advance(" ".join(f"{name} {value:.4g}" for name, value in figures.items()))

    def held_out(self, step: int, figures: dict[str, float]) -> None:
        """Record the figures of held-out frames after this many steps."""
        self._held_out.write(step, figures)
        self._events.log_metrics(_of_held_out(figures), step)

    def save(self) -> None:
        """Write all figures so far where TensorBoard reads them."""
        self._events.save()

    def _replay(self) -> None:
        """Make the events anew from the tables: those of a lost end would be shown twice."""
        shutil.rmtree(self.run / EVENTS, ignore_errors=True)
        for table, named in ((self._log, dict), (self._held_out, _of_held_out)):
            steps, columns = read_table(table.path)
            for at, step in enumerate(steps):
                row = {name: values[at] for name, values in columns.items()}
                self._events.log_metrics(named(row), step)


def _of_held_out(figures: dict[str, float]) -> dict[str, float]:
    return {f"held-out/{name}": value for name, value in figures.items()}
