# SPDX-License-Identifier: Apache-2.0
"""A synthetic street with exact ground truth: any frame of any seed, drawn with numpy and OpenCV."""

from __future__ import annotations

from frankensplit.data.street.classes import CLASSES, VOID
from frankensplit.data.street.street import Street, StreetFrame

__all__ = ["CLASSES", "VOID", "Street", "StreetFrame"]
