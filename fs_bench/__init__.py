# SPDX-License-Identifier: Apache-2.0
"""Processes of ``frankensplit bench network``: what a robot sends, what a server makes of it, and who runs both."""

from __future__ import annotations
