# SPDX-License-Identifier: Apache-2.0
"""Rival codecs by name. A new one is a new file here, or a row in the table of a file that holds its like.

A file gives ``RIVALS``, a :class:`Rival` for each name. Files whose names begin with ``_`` are not looked at.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from frankensplit.errors import DataError

Quality = int | None


@dataclass(frozen=True)
class Options:
    """What coders may want to know besides the quality."""

    rate_hz: float = 15.0  # frames a second of the stream
    threads: int = 1
    weights: str | None = (
        None  # weights of a learned codec: a file, a folder, or "hub" for the published ones
    )


@dataclass(frozen=True)
class Cost:
    """Size of a codec's networks: parameters, and multiply-accumulates for one frame."""

    encoder_parameters: int
    decoder_parameters: int
    encoder_macs: int
    decoder_macs: int


class Coder(ABC):
    """One stream of a codec at one quality, from frame to bytes and back.

    What is coded depends on the rival's ``signal``:

    - ``image``: uint8 RGB ``(H, W, 3)``, C-contiguous, any size, as the network sees it (scaled, not padded);
    - ``features``: float32 ``(C, h, w)``, what the backbone's shallow layers give;
    - ``latent``: int32 ``(C, h, w)``, the symbols of our own encoder.

    All frames of a stream have one size. The bytes hold all that a decoder of the same quality needs.
    """

    entropy_ms: float | None = None  # entropy coding in the last call; None if the codec does not report it

    @abstractmethod
    def encode(self, signal: NDArray[Any]) -> bytes:
        """Return one frame's bytes on the wire."""

    @abstractmethod
    def decode(self, data: bytes) -> NDArray[Any] | None:
        """Return the decoded frame, of the shape and dtype that was coded.

        None only where packets before this one are missing and nothing can be shown.
        """

    def cost(self, height: int, width: int) -> Cost | None:
        """Return the size of the codec's networks for such an image; None for a codec without networks."""
        return None


Opener = Callable[[Any, Options], Coder]


@dataclass(frozen=True)
class Rival:
    """A codec to compare with.

    Args:
        open_coder: opens a stream at one quality; raises RuntimeUnavailable where a wheel or weights are missing.
        qualities: its sweep, fewest bytes first; None where it has no setting.
        signal: what it codes, see ``Coder``: ``image``, ``features`` or ``latent``.
        sequence: whether frames of a stream must come in order, since it has a memory.
        open_untrained: of a learned codec: the same networks with random weights of a fixed seed, to be timed.
    """

    open_coder: Opener
    qualities: tuple[Quality, ...] = (None,)
    signal: str = "image"
    sequence: bool = False
    open_untrained: Opener | None = None


def rival_files() -> dict[str, Path]:
    """Return the names of all rivals, sorted, and the file that holds each."""
    return {name: Path(module.__file__) for name, (module, _) in sorted(_found().items())}


def rival_names() -> list[str]:
    """Return the names of all rivals."""
    return sorted(_found())


def load_rival(name: str) -> Rival:
    """Return a rival by name.

    Raises:
        DataError: there is none of that name.
    """
    found = _found()
    if name not in found:
        raise DataError(f"no rival {name!r}: there are {', '.join(sorted(found))}, or all")
    return found[name][1]


def _found() -> dict[str, tuple[Any, Rival]]:
    """Return module and rival by name."""
    found: dict[str, tuple[Any, Rival]] = {}
    for one in pkgutil.iter_modules(__path__):
        if one.name.startswith("_"):
            continue
        module: Any = importlib.import_module(f"{__name__}.{one.name}")
        found |= {name: (module, rival) for name, rival in module.RIVALS.items()}
    return found
