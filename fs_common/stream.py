# SPDX-License-Identifier: Apache-2.0
"""One stream of frames: count them, catch what their work raises, complain once a second at most."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence

from rclpy.node import Node

from frankensplit.errors import FrankensplitError, bounded
from fs_common.complaints import Complaints, Standing
from fs_common.lazy_input import LazyInput
from fs_common.meter import Meter, Window
from fs_common.switch import Switch

CALM_LOOKS = (
    5  # a warning is over after this many looks without its cause, so a flickering cause is logged once
)


class Stream:
    """Counters and complaints of the frames of one topic.

    Args:
        node: to log with.
        name: of the stream, in logs and diagnostics.
        wanted: whether anybody wants what is made of it.
        lazy_input: where the frames come from, if that is not always open.
        facts: what else diagnostics say of it.
        warnings: each says what is wrong with it though frames come, or nothing.
        switch: that turns the node off.
    """

    def __init__(
        self,
        node: Node,
        name: str,
        wanted: Callable[[], bool],
        lazy_input: LazyInput | None = None,
        facts: Callable[[], dict[str, str]] = dict,
        warnings: Sequence[Callable[[], str]] = (),
        switch: Switch | None = None,
    ) -> None:
        self.name = name
        self.meter = Meter()
        self.wanted = wanted
        self.facts = facts
        self._input = lazy_input
        self._warnings = warnings
        self._switch = switch
        self._node = node
        self.last_cause = ""
        self._rejects = Complaints(lambda text: node.get_logger().warning(f"{name}: rejected: {text}"))
        self._failures = Complaints(lambda text: node.get_logger().error(f"{name}: failed: {text}"))
        log = node.get_logger()
        self._silent = Standing(
            lambda text: log.warning(f"{name}: {text}"),
            lambda: log.info(f"{name}: no longer silent"),
            CALM_LOOKS,
        )
        self._warned = Standing(
            lambda text: log.warning(f"{name}: {text}"),
            lambda: log.info(f"{name}: what was warned of is over"),
            CALM_LOOKS,
        )

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

    @property
    def off(self) -> bool:
        """Tell whether the node is switched off."""
        return self._switch is not None and not self._switch.on

    def idle(self) -> str:
        """Say why nothing is to be done; empty where something is."""
        if self.off:
            return "switched off by ~/enable"
        return "" if self.wanted() else "idle: nobody subscribes"

    def silence(self, window: Window, stale_after_s: float) -> str:
        """Say that an input is missing, and why; empty if all is well. It is logged once, and so is its end."""
        text, known = self._silence(window.silent_s, stale_after_s)
        # A cause that is new may only mean that discovery has not finished.
        if known or (text and window.silent_s > stale_after_s):
            self._silent.see(text)
        return text

    def warning(self, window: Window) -> str:
        """Say what is wrong though frames come; empty if nothing. It is logged once."""
        found = [one() for one in self._warnings] if window.counts.received else []
        text = next((one for one in found if one), "")
        self._warned.see(text)
        return text

    def _silence(self, silent_s: float, stale_after_s: float) -> tuple[str, bool]:
        """Say what is missing; and whether it is certain that nothing is, where the text is empty."""
        if self.off:
            return "", False
        if self._input is None:
            stale = silent_s > stale_after_s
            return (f"nothing has arrived for {silent_s:.1f} s" if stale else ""), not stale
        self._input.follow()
        if (open_s := self._input.open_s) is None:
            text = self._input.trouble()
            return text, not text
        if min(silent_s, open_s) <= stale_after_s:
            return "", silent_s <= stale_after_s
        source = self._input.source
        silent = f"nothing has arrived for {min(silent_s, open_s):.1f} s on {source.topic}"
        return self._input.trouble() or f"{silent}, {source.unheard()}", False

    def flush(self) -> None:
        """Warn of what was held back."""
        self._rejects.flush()
        self._failures.flush()
