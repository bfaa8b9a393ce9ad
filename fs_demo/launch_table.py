# SPDX-License-Identifier: Apache-2.0
"""How the demo's nodes are started."""

from __future__ import annotations

from fs_common.node_launch import NodeLaunch
from fs_demo.parameters import CameraParameters, MonitorParameters, RecorderParameters

CAMERA = NodeLaunch(executable="camera", module="fs_demo.camera", table=CameraParameters)
MONITOR = NodeLaunch(executable="monitor", module="fs_demo.monitor", table=MonitorParameters)
RECORDER = NodeLaunch(executable="recorder", module="fs_demo.recorder", table=RecorderParameters)
