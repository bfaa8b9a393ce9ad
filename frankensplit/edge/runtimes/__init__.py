# SPDX-License-Identifier: Apache-2.0
"""Runtimes that execute the encoder. A new one is one file in this folder; its name is the runtime's.

A module ``some_device.py`` here is the runtime ``some-device``. It has

- ``Runtime``, a class as :class:`Runtime` below says,
- ``PREFERENCE``, an integer: ``auto`` takes the runtime of highest preference that works here,
- ``probe()``, which says without loading a model what this machine has for it, as a :class:`Probe`.

Packages that a machine may lack are imported inside of these, not at the head of the module.
"""

from __future__ import annotations

import logging
import math
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Generic, Protocol, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from frankensplit.errors import RuntimeUnavailable
from frankensplit.places import CACHE

AUTO = "auto"
ENGINES = CACHE / "engines"

_logger = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True)
class RuntimeOptions:
    """What any runtime may be told; each takes what concerns it.

    Args:
        threads: CPU threads that the network may use, at least 1.
        largest: height and width in pixels of the largest frame to come, multiples of 32; runtimes that build for
            sizes build for all up to this one. None: unknown.
        latent: ``(C, h, w)`` of the symbols of this largest frame; an encoder that gives others is refused. None: any.
        engines: folder of built engines; None: ``ENGINES``, in the user's cache.
        zero_copy: ``on`` maps the frame into the accelerator, ``off`` copies it, ``auto`` times both where both work.
    """

    threads: int = 1
    largest: tuple[int, int] | None = None
    latent: tuple[int, int, int] | None = None
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
            BundleError: the file is not an encoder.
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
    except Exception as err:  # an error in one runtime's file must leave the others usable
        raise RuntimeUnavailable(f"runtime {name!r} does not load: {type(err).__name__}: {err}") from err
    return cast("RuntimeModule", module)


def probe_runtime(name: str) -> Probe:
    """Say what this machine has for a runtime; that its file is broken is a problem too."""
    try:
        return runtime_module(name).probe()
    except RuntimeUnavailable as err:
        return Probe(problem=str(err))
    except Exception as err:  # the contract forbids it, but one bad probe must not hide the other runtimes
        return Probe(problem=f"its probe raised {type(err).__name__}: {err}")


@dataclass(frozen=True)
class Choice(Generic[_T]):
    """The runtime that ``auto`` took, and why it refused each earlier one, by name in order.

    Args:
        name: of the runtime.
        value: the opened runtime, or its probe where nothing was to be opened.
        refused: the reason why each preferred runtime was not taken.
    """

    name: str
    value: _T
    refused: dict[str, str]

    def __str__(self) -> str:
        reasons = [f"{name} is not used: {reason}" for name, reason in self.refused.items()]
        return "; ".join([f"runtime {self.name}", *reasons])


def weigh_runtimes() -> Choice[Probe]:
    """Return the runtime that ``auto`` means here as far as can be said without a model, and why no other.

    Raises:
        RuntimeUnavailable: none works; the text says what each lacks.
    """
    return _choose(probe_runtime)


def open_chosen(name: str, model_path: Path, options: RuntimeOptions | None = None) -> Choice[Runtime]:
    """Load ``model_path`` with the runtime ``name``, or for ``auto`` with the most preferred that works here.

    A runtime may lack nothing but an engine for this model, and refuses at opening; ``auto`` then tries the next one.

    Raises:
        RuntimeUnavailable: the name is unknown, or this machine lacks the library, the device or the engine.
        BundleError: the file is not an encoder.
    """
    told = options or RuntimeOptions()
    if name == AUTO:
        return _choose(lambda one: _open(one, model_path, told))
    return Choice(name, _open(name, model_path, told), {})


def open_runtime(name: str, model_path: Path, options: RuntimeOptions | None = None) -> Runtime:
    """Return the runtime that :func:`open_chosen` opens; raises the same."""
    return open_chosen(name, model_path, options).value


def _choose(attempt: Callable[[str], _T]) -> Choice[_T]:
    """Go down the order until a runtime has no problem and the attempt with it is not refused."""
    refused: dict[str, str] = {}
    for name in sorted(runtime_names(), key=_preference, reverse=True):
        problem = probe_runtime(name).problem
        if problem is None:
            try:
                choice = Choice(name, attempt(name), refused)
            except RuntimeUnavailable as err:
                problem = str(err)
                _logger.warning("runtime %s is passed over: %s", name, problem)
            else:
                _logger.info("%s", choice)
                return choice
        refused[name] = problem
    listed = "; ".join(f"{name}: {problem}" for name, problem in refused.items())
    raise RuntimeUnavailable(f"no runtime works here: {listed}")


def _preference(name: str) -> float:
    """A file that does not load comes first, so that it is among the reasons whatever is taken."""
    try:
        return runtime_module(name).PREFERENCE
    except (RuntimeUnavailable, AttributeError):
        return math.inf


def _open(name: str, model_path: Path, options: RuntimeOptions) -> Runtime:
    if options.threads < 1:
        raise RuntimeUnavailable(f"runtime {name!r} got {options.threads} threads, expected at least 1")
    try:
        return runtime_module(name).Runtime(model_path, options)
    except ImportError as err:
        brings = f"pip install {err.name or name}"
        raise RuntimeUnavailable(
            f"runtime {name!r} needs a package that is not installed ({err}): {brings}"
        ) from err
