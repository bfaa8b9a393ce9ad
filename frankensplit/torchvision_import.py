# SPDX-License-Identifier: Apache-2.0
"""Import torchvision also beside a CPU torch for which it was not built.

PyPI's torchvision is a CUDA build; its compiled operators do not load next to a CPU torch and ``import torchvision``
then stops on two missing operator schemas. Nothing here needs those operators, so their schemas are declared.
"""

from __future__ import annotations

import sys
from typing import Any

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_keep_alive: list[Any] = []


def import_torchvision() -> None:
    """Import torchvision, with the schemas of its missing operators declared where that is what stops it."""
    try:
        import torchvision
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")
        for schema in _SCHEMAS:
            library.define(schema)
        _keep_alive.append(library)
        import torchvision  # noqa: F401
