# SPDX-License-Identifier: Apache-2.0
"""What shows the demo's results, as data: the launch file and tests read it. No ROS import."""

from __future__ import annotations

from dataclasses import dataclass

from fs_common.node_launch import Argument

NONE = "none"


@dataclass(frozen=True)
class Viewer:
    """A program of another ROS package, and the file in ``config/`` that tells it what to show.

    ``arguments`` and ``advice`` may hold ``{file}``, its installed path. Topics in the file are relative where the
    viewer follows its node's namespace.
    """

    package: str
    executable: str
    file: str
    arguments: tuple[str, ...]
    advice: str


VIEWERS = {
    "rviz": Viewer("rviz2", "rviz2", "demo.rviz", ("-d", "{file}"), "RViz shows {file}"),
    "foxglove": Viewer(
        "foxglove_bridge",
        "foxglove_bridge",
        "foxglove.json",
        (),
        "Foxglove: open a connection to ws://localhost:8765 in its application or at https://app.foxglove.dev, then "
        "import the layout {file} from a file; in a namespace its topics have to be renamed",
    ),
}
VIEWER = Argument(
    "viewer",
    "Start RViz, or the bridge for Foxglove, to show the results; nothing starts where its package is missing",
    NONE,
    (NONE, *VIEWERS),
)
