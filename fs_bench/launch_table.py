# SPDX-License-Identifier: Apache-2.0
"""How the benchmark's nodes are started. No ROS import."""

from __future__ import annotations

from fs_bench.parameters import ReceiverParameters, RecorderParameters, SenderParameters, WatcherParameters
from fs_common.node_launch import NodeLaunch

SENDER = NodeLaunch(executable="sender", module="fs_bench.sender", table=SenderParameters)
RECEIVER = NodeLaunch(executable="receiver", module="fs_bench.receiver", table=ReceiverParameters)
RECORDER = NodeLaunch(executable="recorder", module="fs_bench.recorder", table=RecorderParameters)
WATCHER = NodeLaunch(executable="watcher", module="fs_bench.watcher", table=WatcherParameters)
