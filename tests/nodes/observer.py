# SPDX-License-Identifier: Apache-2.0
"""The test's own participant on the ROS graph: publishes, records, waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from std_srvs.srv import SetBool

from fs_common.qos import keep_last

PATIENCE_S = 60.0
SENSOR = keep_last("best_effort", 1)


class Recording(list[Any]):
    """Messages of one topic in order of arrival."""

    subscription: Subscription


class Observer:
    """A node without threads: everything happens inside ``until``."""

    def __init__(self, context: Context) -> None:
        self.node = Node("observer", context=context)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self.node)

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self.node.destroy_node()

    def record(self, kind: type, topic: str, qos: QoSProfile | int = 10) -> Recording:
        """Subscribe and keep every message."""
        recording = Recording()
        recording.subscription = self.node.create_subscription(kind, topic, recording.append, qos)
        return recording

    def publisher(self, kind: type, topic: str, qos: QoSProfile | int = SENSOR) -> Publisher:
        """Make a publisher and wait for its subscriber."""
        made = self.node.create_publisher(kind, topic, qos)
        self.until(lambda: made.get_subscription_count() > 0, f"a subscriber of {topic}")
        return made

    def until(
        self,
        reached: Callable[[], object],
        what: str,
        again: Callable[[], object] | None = None,
        period_s: float = 0.1,
    ) -> None:
        """Spin until ``reached``; do ``again`` each period meanwhile (best effort may lose the first ones)."""
        deadline = time.monotonic() + PATIENCE_S
        due = time.monotonic()
        while not reached():
            now = time.monotonic()
            assert now < deadline, f"waited {PATIENCE_S:.0f} s for {what}"
            if again is not None and now >= due:
                again()
                due = now + period_s
            self._executor.spin_once(timeout_sec=0.02)

    def set_parameter(self, node_name: str, name: str, value: Any) -> tuple[bool, str]:
        """Ask a node to change a parameter; return whether it did, and why not."""
        client = self.node.create_client(SetParameters, f"{node_name}/set_parameters")
        self.until(client.service_is_ready, f"the parameter service of {node_name}")
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        future = client.call_async(request)
        self.until(future.done, f"{node_name} to answer")
        self.node.destroy_client(client)
        result = future.result().results[0]
        return result.successful, result.reason

    def enable(self, node_name: str, on: bool) -> tuple[bool, str]:
        """Switch a node on or off; return whether it did, and what it says."""
        client = self.node.create_client(SetBool, f"{node_name}/enable")
        self.until(client.service_is_ready, f"the switch of {node_name}")
        future = client.call_async(SetBool.Request(data=on))
        self.until(future.done, f"{node_name} to answer")
        self.node.destroy_client(client)
        return future.result().success, future.result().message


class Health:
    """The newest diagnostics of one stream."""

    def __init__(self, observer: Observer, name: str) -> None:
        self._name = name
        self._observer = observer
        self._arrays = observer.record(DiagnosticArray, "/diagnostics")

    @property
    def status(self) -> DiagnosticStatus | None:
        """The newest status, if any came."""
        found = [status for array in self._arrays for status in array.status if status.name == self._name]
        return found[-1] if found else None

    @property
    def status_text(self) -> str:
        """Its newest message; empty before the first."""
        return self.status.message if self.status else ""

    @property
    def level(self) -> bytes | None:
        """The newest level."""
        return self.status.level if self.status else None

    def count(self, key: str) -> int:
        """One of its totals; -1 before the first report."""
        values = {pair.key: pair.value for pair in self.status.values} if self.status else {}
        return int(values.get(key, -1))

    def worked_off(self) -> None:
        """Wait until every frame that came is in another counter too: nothing of it will be published any more."""
        self.settled()
        ends = ("published", "dropped", "skipped", "rejected", "failed", "unheard")
        self._observer.until(
            lambda: self.count("received") == sum(self.count(name) for name in ends),
            "frames to be worked off",
        )

    def settled(self, again: Callable[[], object] | None = None) -> None:
        """Wait for a report that was made after this call."""
        seen = len(self._arrays)
        self._observer.until(lambda: len(self._arrays) >= seen + 2, f"diagnostics of {self._name}", again)
