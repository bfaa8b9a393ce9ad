# SPDX-License-Identifier: Apache-2.0
"""Who publishes a topic: node name, and the process id that Fast DDS writes into each writer's identity."""

from __future__ import annotations

from dataclasses import dataclass

from rclpy.node import Node

FAST_DDS_VENDOR = (0x01, 0x0F)
PID_OFFSET = 4  # guidPrefix: vendor (2), host (2), process id modulo 65536 (2, little-endian), ...


@dataclass(frozen=True)
class Publisher:
    """The one that publishes; ``pid_modulo`` is None where the middleware does not tell."""

    node: str
    pid_modulo: int | None


def publisher_of(node: Node, topic: str) -> Publisher | None:
    """Return who publishes a topic now, or None when nobody does."""
    infos = node.get_publishers_info_by_topic(topic)
    if not infos:
        return None
    gid = list(infos[0].endpoint_gid)
    known = tuple(gid[:2]) == FAST_DDS_VENDOR
    pid = gid[PID_OFFSET] | gid[PID_OFFSET + 1] << 8 if known else None
    return Publisher(infos[0].node_namespace.rstrip("/") + "/" + infos[0].node_name, pid)
