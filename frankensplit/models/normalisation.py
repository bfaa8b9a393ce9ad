# SPDX-License-Identifier: Apache-2.0
"""How a network's pictures are normalised. Each network has its own: the robot's encoder one, a backbone another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from frankensplit.errors import BundleError

CHANNELS = 3


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of each colour, of values in 0..1, red first (timm's ``pretrained_cfg``)."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of_manifest(cls, value: Any) -> Normalisation:
        """Read ``{"mean": [r, g, b], "std": [r, g, b]}``.

        Raises:
            BundleError: it is something else, or a value is out of range.
        """
        if not isinstance(value, Mapping) or set(value) != {"mean", "std"}:
            raise BundleError(
                f"the backbone's normalisation is {value!r}, expected its mean and std, three numbers each, as timm's "
                "pretrained_cfg has them"
            )
        return cls(_three(value["mean"], "mean", 0.0), _three(value["std"], "std", 1e-3))

    def manifest(self) -> dict[str, list[float]]:
        """Return what :meth:`of_manifest` reads."""
        return {"mean": list(self.mean), "std": list(self.std)}

    def __call__(self, images: Tensor) -> Tensor:
        """Map uint8 RGB ``(N, 3, H, W)`` to float32."""
        mean, std = (
            torch.tensor(values, device=images.device).view(1, CHANNELS, 1, 1) * 255
            for values in (self.mean, self.std)
        )
        return (images.float() - mean) / std


IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def _three(values: Any, name: str, lowest: float) -> tuple[float, ...]:
    numbers = values if isinstance(values, (list, tuple)) else []
    right = all(type(one) in (int, float) and lowest <= one <= 1 for one in numbers)  # bool is an int, too
    if len(numbers) != CHANNELS or not right:
        raise BundleError(f"the backbone's {name} is {values!r}, expected three numbers in {lowest:g}..1")
    return tuple(float(one) for one in numbers)
