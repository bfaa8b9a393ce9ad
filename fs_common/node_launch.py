# SPDX-License-Identifier: Apache-2.0
"""How a node is started, as data: launch files, the demo's process runner and tests all read it. No ROS import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from frankensplit.errors import ParameterError, shown
from frankensplit.import_order import python_module
from fs_common.parameters import Spec, Value, specs, to_plain

PACKAGE = "frankensplit"
LOG_LEVELS = ("debug", "info", "warn", "error", "fatal")
Values = Mapping[str, str]  # texts by argument name; empty or missing means "not given"


@dataclass(frozen=True)
class Argument:
    """One launch argument; all are texts, and empty means that the parameter file decides."""

    name: str
    description: str
    default: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Remap:
    """Let a launch argument rename a topic; ``suffix`` follows the argument's value."""

    topic: str
    argument: str
    suffix: str = ""


COMMON_ARGUMENTS = (
    Argument("namespace", "Namespace of the node and its topics"),
    Argument(
        "use_sim_time",
        "Take the time from /clock (empty: as in the parameter file)",
        "",
        ("", "true", "false"),
    ),
    Argument("respawn", "Start the node again whenever it ends", "false", ("true", "false")),
    Argument("log_level", "Least severe messages to log", "info", LOG_LEVELS),
    Argument(
        "dds_profile",
        "Fast DDS profile, set where no profile is set yet; empty takes the node's own in the installed config/: "
        "fastdds-edge.xml for the edge, fastdds.xml, whose shared memory holds whole images, for the others; "
        "`none` sets nothing",
    ),
)


@dataclass(frozen=True)
class NodeLaunch:
    """A node: its executable in the ROS package, its Python module, parameters, topics to rename, DDS profile."""

    executable: str
    module: str
    table: type
    remaps: tuple[Remap, ...] = ()
    topic_arguments: tuple[Argument, ...] = ()
    dds_profile: str = "fastdds.xml"

    @property
    def config_file(self) -> str:
        """The name of its parameter file in ``config/``."""
        return f"{self.executable}.param.yaml"

    def arguments(self, params_file: str = "params_file") -> list[Argument]:
        """List every launch argument; ``params_file`` names that of the parameter file."""
        file = Argument(params_file, f"Parameter file; empty takes the installed config/{self.config_file}")
        parameters = [_argument(spec) for spec in specs(self.table)]
        return [*self.topic_arguments, *parameters, *COMMON_ARGUMENTS, file]

    def parameters(self, values: Values) -> dict[str, Value]:
        """Parse the parameters that are given.

        Raises:
            ParameterError: a text has another type or is out of range.
        """
        given = {
            spec.name: spec.parse(values[spec.name]) for spec in specs(self.table) if values.get(spec.name)
        }
        sim_time = values.get("use_sim_time")
        return {**given, "use_sim_time": sim_time == "true"} if sim_time else given

    def remappings(self, values: Values) -> list[tuple[str, str]]:
        """Give the topics to rename as (from, to)."""
        return [
            (one.topic, values[one.argument].removesuffix(one.suffix) + one.suffix)
            for one in self.remaps
            if values.get(one.argument)
        ]

    def command(self, values: Values) -> list[str]:
        """Give the command that starts the node as a plain process of this Python.

        Raises:
            ParameterError: as ``parameters``.
        """
        log_level = values.get("log_level") or "info"
        command = python_module(self.module, "--ros-args", "--log-level", log_level)
        if values.get("namespace"):
            command += ["-r", f"__ns:=/{values['namespace'].strip('/')}"]
        if values.get("params_file"):
            command += ["--params-file", existing("params_file", values["params_file"])]
        for name, target in self.remappings(values):
            command += ["-r", f"{name}:={target}"]
        for name, value in self.parameters(values).items():
            command += ["-p", f"{name}:={_ros_text(to_plain(value))}"]
        return command


def existing(argument: str, file: str) -> str:
    """Return the name of a parameter file that is there: launch only warns, and starts the node on its defaults.

    Raises:
        ParameterError: there is no such file.
    """
    if not Path(file).is_file():
        raise ParameterError(f"{argument} is {shown(file)}, which is not a file: name a parameter file")
    return file


def _argument(spec: Spec) -> Argument:
    limits = f", {spec.limits[0]:g} to {spec.limits[1]:g}" if spec.limits else ""
    default = _ros_text(to_plain(spec.default))
    description = f"{spec.description}{limits} (empty: as in the parameter file, there {default})"
    boolean = isinstance(spec.default, bool)
    choices = ("true", "false") if boolean else spec.choices
    return Argument(spec.name, description, choices=("", *choices) if choices else ())


def _ros_text(value: bool | int | float | str | list[str]) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_ros_text, value))}]"
    # A text like `2` or `yes` would be read as another type without quotes.
    return f"'{value}'" if isinstance(value, str) else repr(value)
