# SPDX-License-Identifier: Apache-2.0
"""The robot's side: camera image to packet. Needs numpy, OpenCV and one inference runtime; never torch."""

from __future__ import annotations
