# SPDX-License-Identifier: Apache-2.0
"""One stream of frames: count them, catch what their work raises, complain once a second at most."""

from __future__ import annotations

import traceback
from collections.abc import Callable

from rclpy.node import Node

from frankensplit.errors import FrankensplitError, bounded
from fs_common.complaints import Complaints
from fs_common.lazy_input import LazyInput
from fs_common.meter import Meter


class Stream:
    """Counters and complaints of the frames of one topic.

    Args:
        node: to log with.
        name: of the stream, in logs and diagnostics.
        wanted: whether anybody wants what is made of it.
        lazy_input: where the frames come from, if that is not always open.
        facts: what else diagnostics say of it.
    """

    def __init__(
        self,
        node: Node,
        name: str,
        wanted: Callable[[], bool],
        lazy_input: LazyInput | None = None,
        facts: Callable[[], dict[str, str]] = dict,
    ) -> None:
        self.name = name
        self.meter = Meter()
        self.wanted = wanted
        self.facts = facts
        self._input = lazy_input
        self._node = node
        self.last_cause = ""
        self._rejects = Complaints(lambda text: node.get_logger().warning(f"{name}: rejected: {text}"))
        self._failures = Complaints(lambda text: node.get_logger().error(f"{name}: failed: {text}"))

    def guard(self, work: Callable[[], None]) -> None:
        """Run the work on one frame; bad input is counted as rejected, an error of ours as failed."""
        try:
            work()
        except FrankensplitError as error:
            self.last_cause = str(error)
            self.meter.add(rejected=1)
            self._rejects.add(self.last_cause)
        # A robot goes on with the next frame; the cause is logged and in diagnostics.
        except Exception as error:
            if not self._node.context.ok():
                self.meter.add(unheard=1)  # publishing after a shutdown raises
                return
            self.last_cause = bounded(repr(error))
            self.meter.add(failed=1)
            self._failures.add(bounded(traceback.format_exc()))

    def silence(self, silent_s: float, stale_after_s: float) -> str:
        """Say that an input is missing, given the seconds since a frame came; empty if all is well."""
        if self._input is not None:
            open_s = self._input.open_s
            if open_s is None:
                return self._input.problem()
            silent_s = min(silent_s, open_s)
        return f"nothing has arrived for {silent_s:.1f} s" if silent_s > stale_after_s else ""

    def flush(self) -> None:
        """Warn of what was held back."""
        self._rejects.flush()
        self._failures.flush()
