# SPDX-License-Identifier: Apache-2.0
"""Declare a parameter dataclass on a ROS node and read it back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from frankensplit.errors import ParameterError
from fs_common.parameters import Spec, Value, specs, to_plain, to_words

Table = TypeVar("Table")

# Parameters that rclpy itself declares or that belong to every node.
ROS_OWN = ("use_sim_time", "start_type_description_service", "qos_overrides.")


def declare(node: Node, table: type[Table]) -> Table:
    """Declare every parameter of ``table`` with its descriptor, refuse bad values from now on, and read all.

    Raises:
        ParameterError: a value given at start has another type or is out of range.
    """
    by_name = {spec.name: spec for spec in specs(table)}
    # Humble lacks this method: there ROS refuses 3 for 3.0 at run time.
    if hasattr(node, "add_pre_set_parameters_callback"):
        node.add_pre_set_parameters_callback(
            lambda parameters: [_widened(by_name, one) for one in parameters]
        )
    node.add_on_set_parameters_callback(lambda parameters: _check(by_name, parameters))
    for spec in by_name.values():
        _declare_one(node, spec)
    _warn_of_unknown(node, by_name)
    return read(node, table)


def read(node: Node, table: type[Table]) -> Table:
    """Read the present values of a declared table."""
    values = {spec.name: node.get_parameter(spec.name).value for spec in specs(table)}
    return table(**{name: _from_ros(value) for name, value in values.items()})


class ParameterSnapshot(Generic[Table]):
    """The present values of a declared table, read again only after a change; any thread may look.

    Values are set in the executor's thread, as ROS tools do it.
    """

    def __init__(self, node: Node, table: type[Table]) -> None:
        self._node, self._table = node, table
        self._kept: Table | None = read(node, table)
        self._settled = node.create_guard_condition(self._keep)
        node.add_on_set_parameters_callback(self._on_change)

    @property
    def values(self) -> Table:
        """All parameters; another object after a change, which itself never changes."""
        kept = self._kept  # once: another thread may let go of it
        return read(self._node, self._table) if kept is None else kept

    def _on_change(self, _parameters: list[Parameter]) -> SetParametersResult:
        # Another callback may still refuse, and Humble has none for what has been set. So the values are read each
        # time, until the executor is through with this change.
        self._kept = None
        self._settled.trigger()
        return SetParametersResult(successful=True)

    def _keep(self) -> None:
        self._kept = read(self._node, self._table)


def refuse_when(node: Node, name: str, problem: Callable[[Any], str | None]) -> None:
    """Refuse values of one parameter by a rule that only the running node knows, the present value included.

    Raises:
        ParameterError: the present value is refused.
    """
    if reason := problem(_from_ros(node.get_parameter(name).value)):
        raise ParameterError(reason if name in reason else f"{name}: {reason}")

    def check(parameters: list[Parameter]) -> SetParametersResult:
        found = [problem(_from_ros(one.value)) for one in parameters if one.name == name]
        return _result(next((text for text in found if text), None))

    node.add_on_set_parameters_callback(check)


def _declare_one(node: Node, spec: Spec) -> None:
    given = _overrides(node).get(spec.name)
    value = spec.default
    if given is not None:
        # An empty list comes as a value without a type, which would leave the parameter unset.
        empty = given.value is None and isinstance(spec.default, tuple)
        value = spec.accept(() if empty else given.value)
    node.declare_parameter(spec.name, to_plain(value), descriptor(spec), ignore_override=True)


def _widened(by_name: dict[str, Spec], parameter: Parameter) -> Parameter:
    """Make a float of an integer where the parameter is one: `ros2 param set /edge target_kbps 40`."""
    spec = by_name.get(parameter.name)
    if spec and isinstance(spec.default, float) and parameter.type_ == Parameter.Type.INTEGER:
        return Parameter(parameter.name, value=float(parameter.value))
    return parameter


def narrow(node: Node, name: str, highest: int) -> None:
    """Lower the end of an integer parameter's range, as ROS tools show it and as new values are held to it."""
    shown = node.describe_parameter(name)
    shown.integer_range = [
        IntegerRange(from_value=shown.integer_range[0].from_value, to_value=highest, step=1)
    ]
    node.set_descriptor(name, shown)


def descriptor(spec: Spec) -> ParameterDescriptor:
    """Describe a parameter as ROS tools show it."""
    choices = f" (one of {', '.join(spec.choices)})" if spec.choices else ""
    made = ParameterDescriptor(description=spec.description + choices, read_only=not spec.changeable)
    if spec.limits and isinstance(spec.default, int):
        made.integer_range = [
            IntegerRange(from_value=int(spec.limits[0]), to_value=int(spec.limits[1]), step=1)
        ]
    elif spec.limits:
        made.floating_point_range = [FloatingPointRange(from_value=spec.limits[0], to_value=spec.limits[1])]
    return made


def _from_ros(value: bool | int | float | str | list[str]) -> Value:
    return to_words(value) if isinstance(value, (list, tuple)) else value


def _check(by_name: dict[str, Spec], parameters: list[Parameter]) -> SetParametersResult:
    known = [(by_name[one.name], _from_ros(one.value)) for one in parameters if one.name in by_name]
    return _result(next((text for spec, value in known if (text := spec.problem(value))), None))


def _result(problem: str | None) -> SetParametersResult:
    return SetParametersResult(successful=problem is None, reason=problem or "")


def _warn_of_unknown(node: Node, by_name: dict[str, Spec]) -> None:
    # A misspelt name would be ignored in silence; only warn, since a shared file may hold other nodes' names.
    for name in _overrides(node):
        if name not in by_name and not name.startswith(ROS_OWN):
            node.get_logger().warning(
                f"parameter {name!r} is not known here: use one of {', '.join(by_name)}"
            )


def _overrides(node: Node) -> dict[str, Parameter]:
    return getattr(node, "_parameter_overrides", {})
