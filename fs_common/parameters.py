# SPDX-License-Identifier: Apache-2.0
"""Node parameters declared once, as a dataclass: ROS descriptors, launch arguments and YAML come from it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import Field, dataclass, field, fields
from typing import Any, Union

import yaml

from frankensplit.errors import ParameterError, shown

Value = Union[bool, int, float, str, "tuple[str, ...]"]

COMMENT = "    # "
QOS_CHOICES = ("best_effort", "reliable")
TYPE_NAMES = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a text, in quotes if it looks like something else",
    tuple: "a list of texts",
}


@dataclass(frozen=True)
class Spec:
    """One parameter: its type is the type of ``default``; ``limits`` are inclusive."""

    name: str
    default: Value
    description: str
    limits: tuple[float, float] | None
    choices: tuple[str, ...]
    changeable: bool

    def accept(self, value: Any) -> Value:
        """Return a value as one of this parameter's type: an integer is taken for a float.

        Raises:
            ParameterError: the value has another type, is out of range, or is not one of the choices.
        """
        typed = _typed(value, self.default)
        if typed is None:
            raise ParameterError(f"{self.name} is {shown(value)}: give {TYPE_NAMES[type(self.default)]}")
        if problem := self.problem(typed):
            raise ParameterError(problem)
        return typed

    def problem(self, value: Value) -> str | None:
        """Say what is wrong with a value of the right type, or None."""
        if self.choices and value not in self.choices:
            return f"{self.name} is {shown(value)}: choose one of {', '.join(self.choices)}"
        if self.limits and not self.limits[0] <= value <= self.limits[1]:  # type: ignore[operator]
            return f"{self.name} is {shown(value)}: choose {self.limits[0]:g} to {self.limits[1]:g}"
        return None

    def parse(self, text: str) -> Value:
        """Turn the text of a launch argument into a value of this parameter's type.

        Raises:
            ParameterError: as ``accept``.
        """
        if isinstance(self.default, str):
            return self.accept(text)
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            value = text
        return self.accept(value)


def to_plain(value: Value) -> bool | int | float | str | list[str]:
    """Convert a value to what YAML and ROS take; an empty list, which has no type there, becomes ``['']``."""
    return (list(value) or [""]) if isinstance(value, tuple) else value


def to_words(listed: Iterable[str]) -> tuple[str, ...]:
    """Convert a list of strings from YAML or ROS; ``[]`` and ``['']`` both hold none."""
    return tuple(word for word in listed if word)


def _typed(value: Any, like: Value) -> Value | None:
    if isinstance(like, tuple):
        words = value if isinstance(value, (list, tuple)) else [value]
        return to_words(words) if all(isinstance(word, str) for word in words) else None
    if isinstance(like, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value if type(value) is type(like) else None


def parameter(
    default: Value,
    description: str,
    *,
    limits: tuple[float, float] | None = None,
    choices: tuple[str, ...] = (),
    changeable: bool = False,
) -> Any:
    """Declare one field of a node's parameter dataclass; ``changeable`` means at run time."""
    metadata = {"description": description, "limits": limits, "choices": choices, "changeable": changeable}
    return field(default=default, metadata=metadata)


def replaced(table: type, name: str, default: Value) -> Any:
    """Declare a field of a base table again, with another default."""
    (base,) = (one for one in fields(table) if one.name == name)
    return field(default=default, metadata=base.metadata)


def specs(table: type) -> list[Spec]:
    """List the parameters of a dataclass whose fields were made by ``parameter``."""
    return [_spec(one) for one in fields(table)]


def _spec(one: Field[Any]) -> Spec:
    default: Any = one.default  # each has one, as `parameter` makes them
    return Spec(name=one.name, default=default, **one.metadata)


def to_yaml(table: type, node_name: str) -> str:
    """Render the parameter file of a node with every default and description."""
    lines = [
        f"# Parameters of the {node_name} node at their defaults. Written by scripts/write_config.py.",
        "/**:",
        "  ros__parameters:",
    ]
    for spec in specs(table):
        lines += textwrap.wrap(
            spec.description + _remarks(spec), 110, initial_indent=COMMENT, subsequent_indent=COMMENT
        )
        lines.append(f"    {spec.name}: {_yaml_value(spec.default)}")
    return "\n".join(lines) + "\n"


def _remarks(spec: Spec) -> str:
    parts = []
    if spec.choices:
        parts.append("one of " + ", ".join(spec.choices))
    if spec.limits:
        parts.append(f"{spec.limits[0]:g} to {spec.limits[1]:g}")
    parts.append("can be changed at run time" if spec.changeable else "fixed at start")
    return f" ({'; '.join(parts)})"


def _yaml_value(value: Value) -> str:
    return str(yaml.safe_dump(to_plain(value), default_flow_style=True, default_style=None)).split("\n")[0]


@dataclass(frozen=True)
class CommonParameters:
    """What both nodes take."""

    bundle: str = parameter(
        "street", "Bundle: a folder, or the name of an installed bundle; @sha256:DIGEST behind it pins it"
    )
    lazy: bool = parameter(True, "Do no work for outputs that nobody subscribes to", changeable=True)
    stale_after_s: float = parameter(
        2.0, "Seconds without input after which diagnostics say STALE", limits=(0.1, 3600.0), changeable=True
    )
    image_reliability: str = parameter(
        "best_effort",
        "QoS reliability of images; auto is reliable where every publisher is, which loses none over Fast DDS "
        "without a profile",
        choices=("auto", *QOS_CHOICES),
    )
    image_depth: int = parameter(1, "QoS depth (keep last) of images", limits=(1, 100))
    latent_reliability: str = parameter("best_effort", "QoS reliability of latents", choices=QOS_CHOICES)
    latent_depth: int = parameter(1, "QoS depth (keep last) of latents", limits=(1, 100))
