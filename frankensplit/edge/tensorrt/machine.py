# SPDX-License-Identifier: Apache-2.0
"""What a plan is bound to: TensorRT's release, the GPU, and the driver's and the system's releases."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frankensplit.bundle import canonical_json
from frankensplit.edge.tensorrt import cudart
from frankensplit.edge.tensorrt.build import Settings
from frankensplit.edge.tensorrt.cudart import Cuda
from frankensplit.edge.tensorrt.profile import Profile

FORMAT = 1  # version of the engine file's layout and name
L4T_RELEASE = Path("/etc/nv_tegra_release")
BOARD = Path("/proc/device-tree/model")
DIGITS = 16  # hex digits of each part of an engine's name


def describe_machine(trt: Any, cuda: Cuda) -> dict[str, Any]:
    """Return all that makes an engine of one machine useless on another."""
    runtime, driver = cuda.versions()
    return {
        "tensorrt": str(trt.__version__),
        "gpu": cuda.device_name(),
        "compute_capability": [cuda.attribute(cudart.MAJOR), cuda.attribute(cudart.MINOR)],
        "multiprocessors": cuda.attribute(cudart.MULTIPROCESSORS),  # every Orin is called Orin
        "l2_bytes": cuda.attribute(cudart.L2_BYTES),
        "bus_width": cuda.attribute(cudart.BUS_WIDTH),
        "integrated": bool(cuda.attribute(cudart.INTEGRATED)),
        "cuda_runtime": runtime,
        "cuda_driver": driver,
        "system": f"{platform.system()} {platform.machine()}",
        "l4t": _first_line(L4T_RELEASE),
        "board": _first_line(BOARD),
    }


@dataclass(frozen=True)
class Identity:
    """A plan's model, and the machine that it works on.

    Args:
        machine: as :func:`describe_machine` gives it.
        model: SHA-256 of the ONNX file, which stands for the precision too, and the builder's settings.
    """

    machine: dict[str, Any]
    model: dict[str, Any]

    @classmethod
    def of(cls, trt: Any, cuda: Cuda, model: bytes, settings: Settings) -> Identity:
        """Return the identity of a model's engines on this machine."""
        machine = {"format": FORMAT, **describe_machine(trt, cuda)}
        return cls(machine, {"onnx": hashlib.sha256(model).hexdigest(), **settings.describe()})

    @property
    def machine_key(self) -> str:
        """The first part of the names of this machine's engines."""
        return _key(self.machine)

    def name(self, profile: Profile) -> str:
        """Return the name of an engine; machine, model and profile together are its key."""
        return f"{self.machine_key}-{_key(self.model)}-{profile}"

    def profiles(self, names: Iterable[str]) -> list[Profile]:
        """Return the profiles of those among some names that are of this identity."""
        stem = f"{self.machine_key}-{_key(self.model)}-"
        found = (Profile.parse(name.removeprefix(stem)) for name in names if name.startswith(stem))
        return [profile for profile in found if profile is not None]

    def describe(self, profile: Profile) -> dict[str, Any]:
        """Return what an engine's file says it is; names are shortened, this is not."""
        return {"machine": self.machine, "model": self.model, "profile": str(profile)}


def _key(value: dict[str, Any]) -> str:
    return hashlib.sha256(canonical_json(value)).hexdigest()[:DIGITS]


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0\n ").partition("\n")[0]
    except OSError:
        return ""
