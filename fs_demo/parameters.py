# SPDX-License-Identifier: Apache-2.0
"""Parameters of the demo's nodes."""

from __future__ import annotations

from dataclasses import dataclass

from fs_common.parameters import parameter


@dataclass(frozen=True)
class CameraParameters:
    """What the camera node takes."""

    source: str = parameter(
        "street", "Where frames come from: street[:SEED], a folder, video, shard, rosbag, or a camera's index"
    )
    topic: str = parameter("", "Image topic of a rosbag that has several")
    rate_hz: float = parameter(
        0.0, "Frames a second; 0 takes the source's own rate, or 10 where it has none", limits=(0.0, 1000.0)
    )
    frames: int = parameter(0, "Stop after this many frames, 0 for all", limits=(0, 2**31))
    seconds: float = parameter(0.0, "Stop after this many seconds, 0 for never", limits=(0.0, 1e6))
    subscribers: int = parameter(1, "Wait until the image has this many subscribers", limits=(0, 100))
    patience_s: float = parameter(
        60.0,
        "Seconds to wait for the subscribers, then it is an error; 0 waits for ever",
        limits=(0.0, 86_400.0),
    )
    report: str = parameter("", "JSON file to write at the end: frames published, frames skipped and why")


@dataclass(frozen=True)
class MonitorParameters:
    """What the monitor node takes."""

    bundle: str = parameter(
        "street", "Bundle of the edge and the server: names, colours and truth of the heads"
    )
    out: str = parameter("demo-output", "Folder for overlay video, contact sheet and summary")
    title: str = parameter("street", "What the frames are, for the contact sheet")
    refresh_s: float = parameter(2.0, "Seconds between two looks at the figures", limits=(0.2, 3600.0))


@dataclass(frozen=True)
class RecorderParameters:
    """What the recorder node takes."""

    folder: str = parameter("recording", "Folder of the rosbag2 to write; it must not exist")
    exclude: tuple[str, ...] = parameter(
        (
            "/rosout",
            "/parameter_events",
            "/overlay*",
            "*/color_mask",
            "*/mask/compressed",
            "*/annotations",
        ),
        "Topics that are not recorded, by full name, * for any letters: what is made only for eyes",
    )
