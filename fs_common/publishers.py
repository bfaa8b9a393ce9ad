# SPDX-License-Identifier: Apache-2.0
"""Who publishes an input's topic, and why nothing of it may reach this node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rclpy.node import Node
from rclpy.qos import QoSCompatibility, QoSProfile, ReliabilityPolicy, qos_check_compatible
from rclpy.topic_endpoint_info import TopicEndpointInfo

from frankensplit.fast_dds import WITHOUT_SHARED_MEMORY, export_line, other_users
from fs_common.qos import AUTO, keep_last

MOST_NAMED = 3
REPORT = "fs_msgs/msg/FrameReport"  # a node that publishes this type is a server


@dataclass(frozen=True)
class Source:
    """An input as a node expects it.

    Args:
        node: that subscribes.
        topic: its full name.
        kind: the class of its messages.
        role: ``image`` or ``latent``, of which the parameters have their names.
        reliability: ``best_effort``, ``reliable`` or ``auto``.
        depth: keep last.
        cures: what to do where the topic has another type, by that type.
        alone: what to do where several publish.
    """

    node: Node
    topic: str
    kind: type
    role: str
    reliability: str
    depth: int
    cures: Mapping[str, str] = field(default_factory=dict)
    alone: str = "name one of them"

    def publishers(self) -> list[TopicEndpointInfo]:
        """List who publishes the topic as the expected type."""
        return [one for one in self._all() if one.topic_type == _type_name(self.kind)]

    def qos(self) -> QoSProfile | None:
        """Choose the QoS; None where ``auto`` has nobody to go by.

        ``auto`` is reliable where every publisher is, so that a driver without our Fast DDS profile loses nothing.
        """
        if self.reliability != AUTO:
            return keep_last(self.reliability, self.depth)
        offered = [one.qos_profile.reliability for one in self.publishers()]
        if not offered:
            return None
        reliable = all(one == ReliabilityPolicy.RELIABLE for one in offered)
        return keep_last("reliable" if reliable else "best_effort", self.depth)

    def trouble(self, qos: QoSProfile | None = None) -> str:
        """Say what on the graph keeps messages away from a subscription with ``qos``; empty if nothing does."""
        if not (everybody := self._all()):
            return f"nobody publishes {self.topic}{self._elsewhere()}"
        if not (found := self.publishers()):
            return self._other_type(everybody)
        qos = qos or self.qos()
        clashes = [
            one
            for one in found
            if qos_check_compatible(one.qos_profile, qos)[0] == QoSCompatibility.ERROR  # publisher first
        ]
        if len(clashes) < len(found):
            return ""
        return (
            f"the QoS of {self.topic} clashes: {_named(clashes)} offers best effort and this node asks for reliable: "
            f"set {self.role}_reliability to best_effort, or make the publisher reliable"
        )

    def unheard(self) -> str:
        """Tell who publishes, where nothing arrives though all fits."""
        found = self.publishers()
        text = f"{len(found)} publisher{'s' * (len(found) != 1)} ({_named(found)})"
        if users := other_users():
            text += (
                f"; Fast DDS nodes of other users ({', '.join(users)}) run here, and users share no memory: start both "
                f"as one user, or in both processes: {export_line(WITHOUT_SHARED_MEMORY)}"
            )
        return text

    def crowd(self) -> str:
        """Say that several publish on the topic; empty where one does."""
        found = self.publishers()
        return (
            f"{len(found)} publishers on {self.topic} ({_named(found)}): {self.alone}"
            if len(found) > 1
            else ""
        )

    def _all(self) -> Sequence[TopicEndpointInfo]:
        return self.node.get_publishers_info_by_topic(self.topic)

    def _who(self, topic: str) -> set[tuple[str, str]]:
        """Return namespace and name of the nodes that publish a topic."""
        return {(one.node_namespace, one.node_name) for one in self.node.get_publishers_info_by_topic(topic)}

    def _other_type(self, found: Sequence[TopicEndpointInfo]) -> str:
        types = sorted({one.topic_type for one in found})
        cure = next((f": {self.cures[one]}" for one in types if one in self.cures), "")
        published = f"{self.topic} is published as {', '.join(types)} by {_named(found)}"
        return f"{published}, expected {_type_name(self.kind)}{cure}"

    def _elsewhere(self) -> str:
        known = {_type_name(self.kind): "", **{kind: f" ({cure})" for kind, cure in self.cures.items()}}
        topics = self.node.get_topic_names_and_types()
        servers = {who for name, kinds in topics if REPORT in kinds for who in self._who(name)}
        ours = servers | {(self.node.get_namespace(), self.node.get_name())}  # their images are drawn
        found = [
            name + known[kind]
            for name, kinds in topics
            for kind in kinds
            if kind in known and self._who(name) - ours
        ]
        more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
        return f"; {self.role}s are on {', '.join(found[:MOST_NAMED])}{more}" if found else ""


def _named(found: Sequence[TopicEndpointInfo]) -> str:
    names = [f"{one.node_namespace.rstrip('/')}/{one.node_name}" for one in found]
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _type_name(kind: type) -> str:
    return f"{kind.__module__.partition('.')[0]}/msg/{kind.__name__}"
