# SPDX-License-Identifier: Apache-2.0
"""The folder of built engines: whether it can be read and trusted, and what lies in it."""

from __future__ import annotations

from collections.abc import Iterator

from frankensplit.doctor.finding import Finding, fault, ok
from frankensplit.doctor.machine import Machine
from frankensplit.edge.tensorrt.engine_cache import EngineCache, engines_folder
from frankensplit.errors import RuntimeUnavailable

TITLE = "engines"
ORDER = 95
FOR = ("edge",)


def check(machine: Machine) -> Iterator[Finding]:
    """Look into the folder as the runtime does."""
    try:
        folder = engines_folder(machine.engines, machine.environ)
        names = EngineCache(folder).names()
    except RuntimeUnavailable as err:
        yield fault("engines", str(err), "or name another folder of engines: --engines DIR")
    except OSError as err:
        text = f"cannot be read: {err.strerror}: {err.filename}"
        yield fault("engines", text, "make it yours: sudo chown -R $USER; or name another: --engines DIR")
    else:
        text = f"{len(names)} in {folder}" if names else f"none; they would lie in {folder}"
        yield ok("engines", text, names=names)
