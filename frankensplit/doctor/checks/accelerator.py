# SPDX-License-Identifier: Apache-2.0
"""CUDA and TensorRT, each checked in its own process: the installed libraries may crash."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from frankensplit.doctor.finding import Finding, fault, note, ok
from frankensplit.doctor.machine import Machine

TITLE = "accelerator"
ORDER = 20

# Files of drivers: for graphics cards, for Jetsons up to L4T 36, and for Jetsons from L4T 38 on.
DRIVERS = ("/proc/driver/nvidia/version", "/dev/nvidia0", "/dev/nvhost-gpu", "/dev/nvgpu/igpu0/ctrl")
SYSTEM_TENSORRT = "usr/lib/python3*/dist-packages/tensorrt/__init__.py"
NO_GPU = "none; the encoder runs on the CPU"

CUDA = """
import ctypes, json
found = {}
for name in ("libcudart.so.12", "libcudart.so.13", "libcudart.so", "/usr/local/cuda/lib64/libcudart.so"):
    try:
        cuda = ctypes.CDLL(name)
    except OSError:
        continue
    value = ctypes.c_int(0)
    cuda.cudaGetErrorString.restype = ctypes.c_char_p
    def ask(function, *args):
        return getattr(cuda, function)(ctypes.byref(value), *args), value.value
    found = {"library": name, "runtime": ask("cudaRuntimeGetVersion")[1], "driver": ask("cudaDriverGetVersion")[1]}
    status, found["devices"] = ask("cudaGetDeviceCount")
    if status:
        found |= {"devices": 0, "error": cuda.cudaGetErrorString(status).decode()}
    else:
        found["capability"] = [ask("cudaDeviceGetAttribute", which, 0)[1] for which in (75, 76)]
        found["integrated"] = ask("cudaDeviceGetAttribute", 18, 0)[1]
    break
print(json.dumps(found))
"""

REMEDIES = {
    "libnvdla_compiler": "the container lacks a library of the host's JetPack: start it with --runtime nvidia, or "
    "mount libnvdla_compiler.so",
    "libnvinfer": "the Python package lacks TensorRT's library: uninstall what pip installed; on a Jetson "
    "sudo apt install python3-libnvinfer",
}


def check(machine: Machine) -> Iterator[Finding]:
    """Say what there is for networks besides the CPU."""
    driver = next((name for name in DRIVERS if machine.path(name).exists()), None)
    yield _cuda(machine, driver)
    yield _tensorrt(machine, driver)


def _cuda(machine: Machine, driver: str | None) -> Finding:
    outcome = machine.python(CUDA)
    try:
        found: dict[str, Any] = json.loads(outcome.output.splitlines()[-1])
    except (IndexError, ValueError):
        text = f"CUDA crashed when asked for its devices (status {outcome.status}): {outcome.error.strip()[-200:]}"
        return fault("CUDA", text, "update the driver, or in a container take the image for it")
    if not found:
        remedy = "install the CUDA runtime, or give the container --runtime nvidia" if driver else ""
        return note("CUDA", "a driver, but no libcudart" if driver else NO_GPU, remedy)
    versions = (
        f"runtime {_version(found['runtime'])} ({found['library']}), driver for {_version(found['driver'])}"
    )
    if found["devices"]:
        major, minor = found["capability"]
        kind = "in the processor's memory" if found["integrated"] else "with its own memory"
        return ok("CUDA", f"{found['devices']} device, {major}.{minor}, {kind}; {versions}", **found)
    if driver:
        text = f"the driver is there ({driver}), but no device: {found.get('error')}; {versions}"
        return fault(
            "CUDA", text, "update the driver, or start the container with --gpus all or --runtime nvidia"
        )
    return note("CUDA", f"{NO_GPU}; {versions}")


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}" if number else "nothing"


def _tensorrt(machine: Machine, driver: str | None) -> Finding:
    found = machine.imports("tensorrt")
    if found.state == "works":
        return ok("TensorRT", found.text)
    if found.state == "broken":
        remedy = next(
            (text for name, text in REMEDIES.items() if name in found.text),
            "install it again (on a Jetson sudo apt install --reinstall python3-libnvinfer), or uninstall it",
        )
        return fault("TensorRT", f"is installed and cannot be imported: {found.text}", remedy)
    if any(machine.root.glob(SYSTEM_TENSORRT)):
        remedy = "make the virtual environment with --system-site-packages, with the system's Python"
        return note("TensorRT", "is installed for the system's Python, and this one does not see it", remedy)
    return note(
        "TensorRT", "not installed", "on a Jetson: sudo apt install python3-libnvinfer" if driver else ""
    )
