# SPDX-License-Identifier: Apache-2.0
"""Subscribe to an input only while somebody wants what is made of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.parameter import Parameter
from rclpy.subscription import Subscription

from fs_common.publishers import Source
from fs_common.qos import keep_last

try:
    from rclpy.event_handler import PublisherEventCallbacks
except ImportError:  # Humble, which has no event for a subscriber that came or went
    PublisherEventCallbacks = None

POLL_S = 0.1


class LazyInput:
    """A subscription that exists while ``wanted`` says so.

    One that nobody needs would cost as much as one in use: rclpy copies each message before anybody can look at it.
    A parameter that changes is followed at once. All happens in the executor's thread.

    Args:
        source: the topic, and who publishes it.
        on_message: takes each message.
        wanted: whether anybody wants the output.
        told: whether ``output_events`` of the outputs call ``follow``; else this looks ten times a second.
    """

    def __init__(
        self,
        source: Source,
        on_message: Callable[[Any], None],
        wanted: Callable[[], bool],
        told: bool = False,
    ) -> None:
        self.source = source
        self._on_message = on_message
        self._wanted = wanted
        self._subscription: Subscription | None = None
        self._opened = 0.0
        self._soon = source.node.create_guard_condition(self.follow)
        source.node.add_on_set_parameters_callback(self._on_parameters)
        if PublisherEventCallbacks is None or not told:
            source.node.create_timer(POLL_S, self.follow)
        self.follow()

    @property
    def open_s(self) -> float | None:
        """Seconds since which messages are received; None while they are not."""
        return None if self._subscription is None else time.monotonic() - self._opened

    def follow(self) -> None:
        """Subscribe or unsubscribe, if what is wanted has changed, or what the publishers offer."""
        if not self._wanted():
            self._close()
            return
        qos = self.source.qos()
        if self._subscription is None:
            self._open(qos or keep_last("best_effort", self.source.depth))
        elif qos and qos.reliability != self._subscription.qos_profile.reliability:
            self._close()
            self._open(qos)

    def trouble(self) -> str:
        """Say what on the graph keeps messages away; empty if nothing does."""
        return self.source.trouble(self._subscription and self._subscription.qos_profile)

    def _open(self, qos: Any) -> None:
        node, kind = self.source.node, self.source.kind
        self._subscription = node.create_subscription(kind, self.source.topic, self._on_message, qos)
        self._opened = time.monotonic()

    def _close(self) -> None:
        if self._subscription is not None:
            self.source.node.destroy_subscription(self._subscription)
            self._subscription = None

    def _on_parameters(self, _parameters: list[Parameter]) -> SetParametersResult:
        self._soon.trigger()  # afterwards, when they have their new values
        return SetParametersResult(successful=True)


def output_events(on_match: Callable[[], None]) -> PublisherEventCallbacks | None:
    """Make a publisher's ``event_callbacks`` that tell of each subscriber that comes or goes."""
    if PublisherEventCallbacks is None:
        return None
    return PublisherEventCallbacks(matched=lambda _: on_match())
