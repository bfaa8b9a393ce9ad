# SPDX-License-Identifier: Apache-2.0
"""Import timm, which imports torchvision, also beside a CPU torch for which that was not built."""

from __future__ import annotations

from frankensplit.torchvision_import import import_torchvision

import_torchvision()
import timm  # noqa: E402

__all__ = ["timm"]
