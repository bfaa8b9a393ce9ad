# SPDX-License-Identifier: Apache-2.0
"""Run a node until SIGINT, SIGTERM or shutdown, and leave cleanly."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from frankensplit.errors import FrankensplitError
from fs_common.quiet_stderr import quiet_stderr


@quiet_stderr()
def run_node(make_node: Callable[[], Node], args: list[str] | None = None) -> int:
    """Make a node and spin it; return 0 after a signal, 2 when it cannot start as asked.

    A node that has threads ends them in its ``destroy_node``.
    """
    node: Node | None = None
    try:
        rclpy.init(args=args)
        node = make_node()
        _spin(node)
        return 0
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    except (FrankensplitError, ParameterException) as error:
        print(f"cannot start: {error}", file=sys.stderr, flush=True)
        return 2
    except Exception:
        if rclpy.ok():
            raise
        return 0  # a signal came while the node was being made: half a node raises what it likes
    finally:
        _ignore_signals()
        _leave(node)
        _ignore_signals()  # rclpy's shutdown has put the former handlers back


def _spin(node: Node) -> None:
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        executor.spin()
    finally:
        executor.shutdown(timeout_sec=0)


def _ignore_signals() -> None:
    # Ctrl-C reaches a launched node twice (process group and launch), and SIGTERM follows if it takes its time.
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.SIG_IGN)


def _leave(node: Node | None) -> None:
    if node is not None:
        node.destroy_node()
    rclpy.try_shutdown()
