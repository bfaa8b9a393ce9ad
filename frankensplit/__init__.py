# SPDX-License-Identifier: Apache-2.0
"""See with a large model over a thin link: FrankenSplit for ROS 2 (arXiv 2302.10681)."""

from __future__ import annotations

__version__ = "0.2.0"
