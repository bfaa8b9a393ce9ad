# SPDX-License-Identifier: Apache-2.0
"""Health of a node on /diagnostics, once a second."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from frankensplit.errors import bounded
from fs_common.meter import Totals, Window
from fs_common.stream import Stream

PERIOD_S = 1.0
LEVELS = {"ok": DiagnosticStatus.OK, "warn": DiagnosticStatus.WARN, "error": DiagnosticStatus.ERROR}
MAX_MESSAGE, MAX_VALUE = 1000, 200  # characters: what a table of a monitor can show, once a second for ever


def judge(
    window: Window,
    idle: str = "",
    silence: str = "",
    last_cause: str = "",
    warning: str = "",
    idle_level: bytes = DiagnosticStatus.OK,
) -> tuple[bytes, str]:
    """Give level and message for what a stream did since the last look.

    Args:
        window: what it did.
        idle: why there is nothing to do; empty where there is.
        silence: why nothing comes in; empty where something does.
        last_cause: of the last frame that was rejected or failed.
        warning: what is wrong though frames come.
        idle_level: what ``idle`` is to a monitor.
    """
    counts = window.counts
    if counts.failed:
        return DiagnosticStatus.ERROR, f"{counts.failed} frames failed: {last_cause}"
    if silence:
        return DiagnosticStatus.STALE, silence
    if counts.rejected:
        return DiagnosticStatus.WARN, f"{counts.rejected} frames rejected: {last_cause}"
    if warning:
        return DiagnosticStatus.WARN, warning
    if idle:
        return idle_level, idle
    return DiagnosticStatus.OK, f"{window.rate_hz:.1f} Hz, {window.bytes_per_s / 1000:.1f} kB/s"


class Diagnostics:
    """Publish one DiagnosticStatus a stream, once a second.

    Stamps come from the node's clock, which may be simulated; period and rates come from a steady one, so that a
    node whose /clock has stopped still says that nothing arrives.
    """

    def __init__(self, node: Node, hardware_id: str, streams: Iterable[Stream]) -> None:
        self._node = node
        self._hardware_id = hardware_id
        self._streams = list(streams)
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        node.create_timer(PERIOD_S, self._publish, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _publish(self) -> None:
        array = DiagnosticArray()
        array.header.stamp = self._node.get_clock().now().to_msg()
        array.status = [self._status(stream) for stream in self._streams]
        self._publisher.publish(array)

    def _status(self, stream: Stream) -> DiagnosticStatus:
        stream.flush()
        window = stream.meter.look()
        stale_after_s = self._node.get_parameter("stale_after_s").value
        level, message = judge(
            window,
            stream.idle(),
            stream.silence(window, stale_after_s),
            stream.last_cause,
            stream.warning(window),
            self._idle_level(stream),
        )
        return DiagnosticStatus(
            level=level,
            name=f"{self._node.get_fully_qualified_name().lstrip('/')}: {stream.name}",
            message=bounded(message, MAX_MESSAGE),
            hardware_id=self._hardware_id,
            values=_values(window, stream.meter.totals(), stream.facts()),
        )

    def _idle_level(self, stream: Stream) -> bytes:
        if stream.off or not self._node.has_parameter("idle_level"):
            return DiagnosticStatus.OK
        return LEVELS[self._node.get_parameter("idle_level").value]


def _values(window: Window, totals: Totals, facts: dict[str, str]) -> list[KeyValue]:
    rates = {
        "rate_hz": f"{window.rate_hz:.2f}",
        "bytes_per_s": f"{window.bytes_per_s:.0f}",
        "latency_ms": f"{window.latency_ms:.1f}",
    }
    counts = {field.name: str(getattr(totals, field.name)) for field in fields(totals)}
    return [
        KeyValue(key=key, value=bounded(value, MAX_VALUE))
        for key, value in {**rates, **counts, **facts}.items()
    ]
