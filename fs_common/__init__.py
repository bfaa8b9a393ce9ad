# SPDX-License-Identifier: Apache-2.0
"""What both ROS nodes share: parameter tables, QoS, newest-wins worker, diagnostics, conversions."""

from __future__ import annotations
