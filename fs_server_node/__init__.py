# SPDX-License-Identifier: Apache-2.0
"""The server's node: compressed latents in, predictions of every head out."""

from __future__ import annotations
