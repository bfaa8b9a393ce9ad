# SPDX-License-Identifier: Apache-2.0
"""How the server node is started."""

from __future__ import annotations

from fs_common.node_launch import NodeLaunch
from fs_server_node.parameters import ServerParameters

SERVER = NodeLaunch(executable="server", module="fs_server_node", table=ServerParameters)
