# SPDX-License-Identifier: Apache-2.0
"""The processes of `frankensplit demo`: a camera, a monitor that measures and draws, a recorder, and their runner."""

from __future__ import annotations
