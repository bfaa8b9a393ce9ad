# SPDX-License-Identifier: Apache-2.0
"""Load the module ``tensorrt``, make its objects, and keep its log: that alone says why something failed."""

from __future__ import annotations

import importlib
import logging
import re
from collections import deque
from functools import cache
from typing import Any

from frankensplit.errors import RuntimeUnavailable

OLDEST = (10, 3)
KEPT_LINES = 5
_log = logging.getLogger(__name__)


class TensorRTError(RuntimeUnavailable):
    """TensorRT refused something; the text ends with what its log said."""


def load_tensorrt() -> Any:
    """Return the module ``tensorrt``.

    Raises:
        RuntimeUnavailable: it is not installed, does not load, or is too old.
    """
    try:
        trt = importlib.import_module("tensorrt")
    except ModuleNotFoundError as err:
        if err.name != "tensorrt":
            raise _broken(err) from err
        raise RuntimeUnavailable(
            "TensorRT is not installed: on a Jetson install python3-libnvinfer and give the virtual environment "
            "--system-site-packages; elsewhere pip install tensorrt"
        ) from err
    except (ImportError, OSError) as err:
        raise _broken(err) from err
    found = str(getattr(trt, "__version__", "0"))
    if tuple(int(part) for part in re.findall(r"\d+", found)[:2]) < OLDEST:
        expected = ".".join(str(part) for part in OLDEST)
        raise RuntimeUnavailable(f"TensorRT {found} is installed, expected {expected} or newer")
    return trt


def _broken(err: Exception) -> RuntimeUnavailable:
    return RuntimeUnavailable(
        f"TensorRT is installed but does not load: {err}; its libraries and the GPU driver must be of one release, and "
        "a container needs the NVIDIA runtime"
    )


class Journal:
    """A logger for TensorRT that keeps the last lines of severity error.

    Args:
        trt: the module ``tensorrt``.
    """

    def __init__(self, trt: Any) -> None:
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self.logger = _logger(trt, self._lines)

    @property
    def memory_ran_short(self) -> bool:
        """Whether a kept line says so."""
        return any(map(_is_about_memory, self._lines))

    def why(self) -> str:
        """Return the kept lines as the end of an error's text, and forget them."""
        lines = list(self._lines)
        self._lines.clear()
        known = _known_reason(lines)
        said = f"; TensorRT says: {' | '.join(lines)}" if lines else "; TensorRT gives no reason"
        return f"{known}{said}"


@cache
def journal_of(trt: Any) -> Journal:
    """Return the one journal of this process: TensorRT keeps using the first logger that it was ever given."""
    return Journal(trt)


def _logger(trt: Any, lines: deque[str]) -> Any:
    severity = trt.ILogger.Severity
    levels = {severity.WARNING: logging.INFO, severity.INFO: logging.DEBUG, severity.VERBOSE: logging.DEBUG}

    class Logger(trt.ILogger):  # type: ignore[misc]
        """Called by TensorRT from any of its threads."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            if severity in levels:
                _log.log(levels[severity], "%s", msg)
            else:
                lines.append(msg)

    return Logger()


def _known_reason(lines: list[str]) -> str:
    for line in lines:
        if match := re.search(r"Target GPU SM (\d+) is not supported", line):
            return f"; this TensorRT has no code for this GPU (SM {match[1]}), install the release of this JetPack"
        if _is_about_memory(line):
            return "; memory ran short, close other programs"
    return ""


def _is_about_memory(line: str) -> bool:
    return "Device memory is insufficient" in line or "out of memory" in line.lower()


def make(journal: Journal, kind: Any, *arguments: Any) -> Any:
    """Make a ``Builder`` or ``Runtime``, which need a usable GPU.

    Raises:
        TensorRTError: the driver or the GPU cannot be used.
    """
    try:
        return kind(*arguments, journal.logger)
    except TypeError as err:  # the bindings raise this if the library returned nothing
        raise TensorRTError(
            f"TensorRT is installed, but the GPU or its driver cannot be used{journal.why()}"
        ) from err


def need(made: Any, what: str, journal: Journal) -> Any:
    """Return what TensorRT made or answered, unless that is None or False, which is how it fails.

    Raises:
        TensorRTError: it failed.
    """
    if made is None or made is False:
        raise TensorRTError(f"TensorRT cannot {what}{journal.why()}")
    return made
