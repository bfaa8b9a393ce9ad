# SPDX-License-Identifier: Apache-2.0
"""The cost of a run: seconds, milliseconds a step, memory."""

from __future__ import annotations

import json
import platform
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch

from frankensplit.training.finished import read_json
from frankensplit.writing import write_file

COST = "run.json"
SAMPLES = "samples_in_all"  # entry of it, and of the metadata of a bundle's densities
MIB = 2**20


class RunCost:
    """Time a run's steps.

    Args:
        device: where it runs.
        world: processes that train together.
        seconds: what earlier sessions of the run took up to its checkpoint.
        batch: samples a step.
        samples_before: samples that the networks had seen before the run, where it began with trained ones.
    """

    def __init__(
        self, device: torch.device, world: int, seconds: float, batch: int, samples_before: int = 0
    ) -> None:
        self.device, self.world, self._before = device, world, seconds
        self.batch, self.samples_before = batch, samples_before
        self._began = self._lap = time.perf_counter()
        self._step_ms: list[float] = []
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    @property
    def seconds(self) -> float:
        """Seconds of this session and those before."""
        return self._before + time.perf_counter() - self._began

    def pause(self) -> None:
        """Let the next step begin now: work since the last one does not count."""
        self._lap = time.perf_counter()

    def step_done(self) -> None:
        """Count the time since the last step, or pause, as a step's."""
        now = time.perf_counter()
        self._step_ms.append((now - self._lap) * 1e3)
        self._lap = now

    def write(self, run: Path, steps: int) -> str:
        """Write ``run.json``; return its figures in words."""
        cost = self._figures(steps)
        write_file(run / COST, json.dumps(cost, indent=2) + "\n")
        return (
            f"{steps} steps in {cost['seconds']:.0f} s, {cost['ms_per_step']:.1f} ms a step, "
            f"{cost['peak_memory_mb']:.0f} MB at most"
        )

    def _figures(self, steps: int) -> dict[str, Any]:
        on_gpu = self.device.type == "cuda"
        return {
            "steps": steps,
            SAMPLES: self.samples_before + steps * self.batch,
            "seconds": round(self.seconds, 1),
            "ms_per_step": round(statistics.median(self._step_ms), 2),
            "peak_memory_mb": round(peak_memory_mb(self.device), 1),
            "device": torch.cuda.get_device_name(self.device) if on_gpu else self.device.type,
            "threads": torch.get_num_threads(),
            "world": self.world,
            "torch": torch.__version__,
            "machine": platform.machine(),
        }


def samples_seen(run: Path) -> int:
    """Return how many samples the networks of a run have seen; 0 where it does not say so."""
    return int(read_json(run / COST).get(SAMPLES, 0)) if (run / COST).is_file() else 0


def peak_memory_mb(device: torch.device) -> float:
    """Return the most memory that was in use, MiB: of the GPU, or else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / MIB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MIB if sys.platform == "darwin" else peak / 1024
