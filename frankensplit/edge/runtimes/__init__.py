# SPDX-License-Identifier: Apache-2.0
"""Runtimes that execute the encoder. A new one is one file in this folder; its name is the runtime's.

A module ``some_device.py`` here is the runtime ``some-device``. It has

- ``Runtime``, a class as :class:`Runtime` below says,
- ``PREFERENCE``, an integer: ``auto`` takes the runtime of highest preference that works here,
- ``probe()``, which says without loading a model what this machine has for it, as a :class:`Probe`.

Packages that a machine may lack are imported inside of these, not at the head of the module.
"""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from frankensplit.errors import RuntimeUnavailable

AUTO = "auto"


@dataclass(frozen=True)
class RuntimeOptions:
    """What any runtime may be told; each takes what concerns it.

    Args:
        threads: CPU threads that the network may use, at least 1.
        largest: height and width in pixels of the largest frame to come, multiples of 32; runtimes that build for
            sizes build for all up to this one. None: unknown.
        engines: folder of built engines; None: the user's cache.
        zero_copy: ``on`` maps the frame into the accelerator, ``off`` copies it, ``auto`` times both where both work.
    """

    threads: int = 1
    largest: tuple[int, int] | None = None
    engines: Path | None = None
    zero_copy: str = AUTO


@dataclass(frozen=True)
class Probe:
    """What this machine has for a runtime: versions by name, and what is missing (None: nothing)."""

    versions: dict[str, str] = field(default_factory=dict)
    problem: str | None = None


class Runtime(Protocol):
    """Execute one encoder. Used from one thread at a time; what it returns belongs to the caller."""

    def __init__(self, model_path: Path, options: RuntimeOptions) -> None:
        """Load a model and be ready to run it.

        Raises:
            RuntimeUnavailable: this machine lacks the library, the device or a built engine; nothing else is used
                silently.
            BundleError: the file is no encoder.
        """

    def __call__(self, frame: NDArray[np.uint8], scale: float = 1.0) -> NDArray[np.int32]:
        """Turn uint8 RGB ``(1, H, W, 3)``, C-contiguous, into int32 symbols ``(1, C, h, w)``.

        Args:
            frame: read in place, free again on return.
            scale: 1 over the step of the quality level; an encoder without such an input only has 1.

        Raises:
            ImageError: the encoder does not take this shape.
            BundleError: the encoder has no quality levels.
        """
        ...


class RuntimeModule(Protocol):
    """What the module of a runtime has."""

    Runtime: type[Runtime]
    PREFERENCE: int

    @staticmethod
    def probe() -> Probe:
        """Say what this machine has for the runtime; raises nothing."""


def runtime_names() -> tuple[str, ...]:
    """Return the names of all runtimes, of those too that this machine cannot run."""
    modules = (found.name for found in pkgutil.iter_modules(__path__) if not found.name.startswith("_"))
    return tuple(sorted(name.replace("_", "-") for name in modules))


def runtime_module(name: str) -> RuntimeModule:
    """Return the module of a runtime.

    Raises:
        RuntimeUnavailable: the name is unknown, or its module does not load.
    """
    if name not in runtime_names():
        raise RuntimeUnavailable(f"no runtime {name!r}; choose one of {', '.join(runtime_names())}")
    try:
        module = import_module(f"{__name__}.{name.replace('-', '_')}")
    except (ImportError, OSError) as err:
        raise RuntimeUnavailable(f"runtime {name!r} does not load: {err}") from err
    return cast("RuntimeModule", module)


def choose_runtime() -> str:
    """Return the runtime that ``auto`` means here.

    Raises:
        RuntimeUnavailable: none works; the text says what each lacks.
    """
    problems = {}
    for name in sorted(runtime_names(), key=lambda name: -runtime_module(name).PREFERENCE):
        problem = runtime_module(name).probe().problem
        if problem is None:
            return name
        problems[name] = problem
    listed = "; ".join(f"{name}: {problem}" for name, problem in problems.items())
    raise RuntimeUnavailable(f"no runtime works here: {listed}")


def open_runtime(name: str, model_path: Path, options: RuntimeOptions | None = None) -> Runtime:
    """Load ``model_path`` with the runtime ``name``, or the best that works here if that is ``auto``.

    Raises:
        RuntimeUnavailable: the name is unknown, or this machine lacks the library or the device.
        BundleError: the file is no encoder.
    """
    options = options or RuntimeOptions()
    name = choose_runtime() if name == AUTO else name
    if options.threads < 1:
        raise RuntimeUnavailable(f"{options.threads} threads asked of runtime {name!r}, expected at least 1")
    try:
        return runtime_module(name).Runtime(model_path, options)
    except ImportError as err:
        raise RuntimeUnavailable(f"runtime {name!r} needs a package that is not installed: {err}") from err
