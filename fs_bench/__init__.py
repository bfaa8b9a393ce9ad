# SPDX-License-Identifier: Apache-2.0
"""Processes of ``frankensplit bench network`` and ``bench edge``: what is sent and seen, and who runs the nodes."""

from __future__ import annotations
