# SPDX-License-Identifier: Apache-2.0
"""Runtimes of the encoder: what each lacks, which one ``auto`` takes and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from frankensplit.bundle import Codec
from frankensplit.doctor.checks.bundle import open_codec
from frankensplit.doctor.finding import Finding, fault, note, ok
from frankensplit.doctor.machine import Machine
from frankensplit.edge.runtimes import (
    AUTO,
    Choice,
    RuntimeOptions,
    open_chosen,
    probe_runtime,
    runtime_module,
    runtime_names,
    weigh_runtimes,
)
from frankensplit.errors import FrankensplitError, RuntimeUnavailable

TITLE = "runtimes"
ORDER = 90
FOR = ("edge",)


def check(machine: Machine) -> Iterator[Finding]:
    """Probe each runtime, then choose."""
    for name in runtime_names():
        yield _probe(name)
    yield _choice(machine)


def options_for(machine: Machine, codec: Codec) -> RuntimeOptions:
    """Return what the edge node tells a runtime."""
    return RuntimeOptions(largest=codec.largest, engines=machine.engines)


def _probe(name: str) -> Finding:
    try:
        runtime_module(name)
    except RuntimeUnavailable as err:
        return fault(name, str(err), "its file is broken: install the package again")
    probe = probe_runtime(name)
    if probe.problem:
        return note(name, probe.problem)
    return ok(name, ", ".join(f"{package} {version}" for package, version in probe.versions.items()))


def _choice(machine: Machine) -> Finding:
    try:
        choice = _open(machine)
    except RuntimeUnavailable as err:
        remedy = "name another runtime, or auto" if machine.runtime != AUTO else "pip install onnxruntime"
        return fault(machine.runtime, str(err), remedy)
    except FrankensplitError as err:
        return fault(machine.runtime, f"does not open the encoder: {err}", "export the bundle again")
    if machine.runtime != AUTO:
        return ok(machine.runtime, "works, and is used", runtime=choice.name)
    refused = [f"not {name}: {_why(name, reason)}" for name, reason in choice.refused.items()]
    text = "; ".join([f"takes {choice.name}", *refused])
    return ok(AUTO, text, runtime=choice.name, refused=choice.refused)


def _why(name: str, reason: str) -> str:
    """A reason that stands in the lines above is not said again."""
    return "see above" if reason == probe_runtime(name).problem else reason


def _open(machine: Machine) -> Choice[Any]:
    """Choose as the edge node does; without a codec as far as can be said."""
    codec = open_codec(machine)
    if codec:
        return open_chosen(machine.runtime, codec.encoder_file(), options_for(machine, codec))
    if machine.runtime == AUTO:
        return weigh_runtimes()
    runtime_module(machine.runtime)
    probe = probe_runtime(machine.runtime)
    if probe.problem:
        raise RuntimeUnavailable(probe.problem)
    return Choice(machine.runtime, probe, {})
