# SPDX-License-Identifier: Apache-2.0
"""The robot's node: camera images in, compressed latents out."""

from __future__ import annotations
