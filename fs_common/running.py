# SPDX-License-Identifier: Apache-2.0
"""Run a node until a signal or shutdown, and leave cleanly."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any

import rclpy
from rclpy.exceptions import NameValidationException, ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from frankensplit.errors import FrankensplitError, ParameterError, RuntimeUnavailable, one_line
from frankensplit.fast_dds import profiles_missing
from fs_common.causes import cause_of
from fs_common.ending import LEAVE_S, Ending, take_signals
from fs_common.parameter_files import given_in, missed
from fs_common.quiet_stderr import quiet_stderr

RCLError = rclpy_implementation.RCLError
RESULTS_S = 50.0  # time for nodes that write results at their end; their starter waits a minute
LOG_PLACES = ("HOME", "ROS_HOME", "ROS_LOG_DIR")  # ROS finds a folder for its log by these variables
HIGHEST_DOMAIN = 232  # DDS uses port 7400 + 250 * domain


@quiet_stderr()
def run_node(kind: type[Node], args: list[str] | None = None, leave_s: float = LEAVE_S) -> int:
    """Make a node without arguments and spin it; return 0 after a signal or shutdown, 2 when it cannot start as asked.

    The status is 1 where the node says by a text ``failure`` that it could not do its work. A node that has threads
    ends them in its ``destroy_node``, which the context outlives: what they are at can still be published. ``leave_s``
    after a signal the process ends in any case, with status 0.
    """
    ending = take_signals()
    if not any(os.environ.get(name) for name in LOG_PLACES):
        return _cannot_start(
            f"none of {', '.join(LOG_PLACES)} is set, so there is no place for the log: set one"
        )
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        strays = remove_ros_args(args)[args is None :]  # [1:] drops the program's name
    except Exception as error:  # rclpy's errors about arguments and environment share no base class
        return _cannot_start(f"ROS refuses the arguments or the environment: {cause_of(error)}")
    try:
        _require_none(strays)
        _require_domain(rclpy.get_default_context().get_domain_id())
        node = _make(kind, ending)
    except (
        FrankensplitError,
        NameValidationException,
        ParameterException,
        RCLError,
        OSError,
        ImportError,
    ) as error:
        rclpy.try_shutdown()
        return _cannot_start(cause_of(error))
    for text in profiles_missing():
        node.get_logger().warning(text)
    for file in given_in(sys.argv if args is None else args):
        if problem := missed(file, node.get_fully_qualified_name()):
            node.get_logger().warning(problem)
    try:
        _spin(node, ending, leave_s)
        return int(bool(getattr(node, "failure", "")))
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


def end_node(node: Node) -> None:
    """Let ``run_node`` end as at a signal; for a thread of a node whose work is done.

    It does not shut the context down: from Kilted on that destroys the node, which waits for the thread.
    """
    take_signals().asked.set()
    with suppress(Exception):  # a node that ends already need not be woken
        node.create_guard_condition(lambda: None).trigger()


def _make(kind: type[Node], ending: Ending) -> Node:
    # The node is known before it is whole: to load a model takes a signal's patience.
    node: Any = kind.__new__(kind)  # type: ignore[call-overload]
    ending.wake_by(lambda: _abandon(node))
    try:
        node.__init__()
    except BaseException:
        with suppress(Exception):
            # From Kilted on, the context would call the code of this half-made node at the end.
            Node.destroy_node(node)
        raise
    finally:
        ending.wake_by()  # does not return when the node is being abandoned, and raises what it likes
    return node


def _abandon(node: Node) -> None:
    """Leave the graph, and the process, while another thread still makes the node: its shared memory must go."""
    with suppress(Exception):
        Node.destroy_node(node)
    os._exit(0)


def _require_none(strays: list[str]) -> None:
    # ROS leaves to the program what is not for ROS, and a parameter in a launch file's way would be lost in silence.
    if strays:
        raise ParameterError(
            f"arguments that are not understood: {one_line(' '.join(strays))}; parameters are given as "
            "--ros-args -p NAME:=VALUE, topics as --ros-args -r NAME:=TOPIC"
        )


def _require_domain(number: int) -> None:
    # Fast DDS ends the process where a port is beyond 65535, with what it says on the way; rcl takes -1 for "not set"
    # and 1e3 for 1.
    text = os.environ.get("ROS_DOMAIN_ID") or str(number)
    if not (text.isascii() and text.isdigit() and number <= HIGHEST_DOMAIN):
        raise RuntimeUnavailable(f"ROS_DOMAIN_ID is {one_line(text)}, expected 0 to {HIGHEST_DOMAIN}")


def _cannot_start(error: object) -> int:
    print(f"cannot start: {error}", file=sys.stderr, flush=True)
    return 2


def _spin(node: Node, ending: Ending, leave_s: float) -> None:
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    ending.wake_by(node.create_guard_condition(lambda: None).trigger, leave_s)
    try:
        while rclpy.ok() and not ending.asked.is_set():
            executor.spin_once()
    except ExternalShutdownException:
        pass
    except Exception:
        if rclpy.ok():
            raise  # after a shutdown, errors of callbacks that were at work do not count
    finally:
        ending.wake_by(leave_s=leave_s)
        executor.shutdown(timeout_sec=0)
