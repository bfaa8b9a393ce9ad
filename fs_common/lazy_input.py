# SPDX-License-Identifier: Apache-2.0
"""Subscribe to an input only while somebody wants what is made of it."""

from __future__ import annotations

import time
from collections.abc import Callable

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.subscription import Subscription

try:
    from rclpy.event_handler import PublisherEventCallbacks
except ImportError:  # Humble, which has no event for a subscriber that came or went
    PublisherEventCallbacks = None

POLL_S = 0.1


class LazyInput:
    """A subscription that exists while ``wanted`` says so.

    One that nobody needs would cost as much as one in use: rclpy copies each message before anybody can look at it.
    A subscriber of an output is noticed by ``output_events``; a parameter that changes is followed as well.
    All happens in the executor's thread.

    Args:
        node: whose parameters may change ``wanted``.
        topic: of the input.
        wanted: whether anybody wants the output.
        subscribe: makes the subscription.
    """

    def __init__(
        self, node: Node, topic: str, wanted: Callable[[], bool], subscribe: Callable[[], Subscription]
    ) -> None:
        self._node = node
        self._topic = node.resolve_topic_name(topic)
        self._wanted = wanted
        self._subscribe = subscribe
        self._subscription: Subscription | None = None
        self._opened = 0.0
        self._soon = node.create_guard_condition(self.follow)
        node.add_on_set_parameters_callback(self._on_parameters)
        if PublisherEventCallbacks is None:
            node.create_timer(POLL_S, self.follow)
        self.follow()

    @property
    def open_s(self) -> float | None:
        """Seconds since which messages are received; None while they are not."""
        return None if self._subscription is None else time.monotonic() - self._opened

    def follow(self) -> None:
        """Subscribe or unsubscribe, if what is wanted has changed."""
        wanted = self._wanted()
        if wanted and self._subscription is None:
            self._subscription, self._opened = self._subscribe(), time.monotonic()
        elif not wanted and self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def problem(self) -> str:
        """Say what can be known to be wrong without a subscription; empty if nothing."""
        return "" if self._node.count_publishers(self._topic) else f"nobody publishes {self._topic}"

    def _on_parameters(self, _parameters: list[Parameter]) -> SetParametersResult:
        self._soon.trigger()  # afterwards, when they have their new values
        return SetParametersResult(successful=True)


def output_events(on_match: Callable[[], None]) -> PublisherEventCallbacks | None:
    """Make a publisher's ``event_callbacks`` that tell of each subscriber that comes or goes."""
    if PublisherEventCallbacks is None:
        return None
    return PublisherEventCallbacks(matched=lambda _: on_match())
