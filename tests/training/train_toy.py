# SPDX-License-Identifier: Apache-2.0
"""One of several processes that train together: a run, then one whose second process meets a NaN."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

from toys import color_batches, color_task, schedule

from frankensplit.training.loop.engine import fit
from frankensplit.training.loop.processes import first_process_first
from frankensplit.training.tasks.base import TrainingStopped


def main(folder: Path) -> None:
    rank = int(os.environ["RANK"])
    with first_process_first("cpu") as device, (folder / "order").open("a") as order:
        order.write(f"{rank} on {device}\n")
    run, plan = folder / "run", schedule(40, sanity_steps=4, keep="best")
    fit(color_task(), color_batches(40, batch=4), plan, run, {}, "cpu", held_out=color_batches(2, 4, seed=9))
    poison = (3, math.nan) if rank == 1 else (0, 0.0)
    try:
        fit(color_task(poison=poison), color_batches(), schedule(), folder / "poisoned", {}, "cpu")
    except TrainingStopped as err:
        (folder / f"stopped-{rank}").write_text(str(err))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
