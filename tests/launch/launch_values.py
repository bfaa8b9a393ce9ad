# SPDX-License-Identifier: Apache-2.0
"""For every launch argument a value that is not its default."""

from __future__ import annotations

from fs_common.node_launch import NodeLaunch, Values
from fs_common.parameters import Spec, specs

OTHERS = {
    "namespace": "elsewhere",
    "use_sim_time": "true",
    "log_level": "warn",
    "params_file": __file__,
    "image_topic": "front/image_raw",
    "latent_topic": "front/latent",
}
OF_LAUNCH = ("dds_profile", "respawn")  # no part of the node's command


def other_values(node: NodeLaunch) -> Values:
    """Give each argument of a node another value than the one it has by default; not what launch keeps for itself."""
    by_name = {spec.name: spec for spec in specs(node.table)}
    names = [argument.name for argument in node.arguments() if argument.name not in OF_LAUNCH]
    return {name: other_text(by_name[name]) if name in by_name else OTHERS[name] for name in names}


def other_text(spec: Spec) -> str:
    """Give another text for a parameter."""
    default = spec.default
    if isinstance(default, bool):
        return str(not default).lower()
    if spec.choices:
        return next((choice for choice in spec.choices if choice != default), str(default))
    if isinstance(default, (int, float)):
        low, high = spec.limits or (0, 10)
        return str(type(default)(low if default != low else min(high, low + 1)))
    return "[elsewhere]" if isinstance(default, tuple) else "elsewhere"
