# SPDX-License-Identifier: Apache-2.0
"""Parameters of the benchmark's nodes."""

from __future__ import annotations

from dataclasses import dataclass

from fs_common.parameters import parameter

BUNDLE = "Bundle: a folder, or the name of an installed bundle"
CODEC = "raw, frankensplit, or the name of a rival codec"


@dataclass(frozen=True)
class SenderParameters:
    """What the sender takes."""

    bundle: str = parameter("street", BUNDLE)
    codec: str = parameter("raw", CODEC)
    quality: int = parameter(0, "Quality of a rival codec", limits=(-1000, 1000))
    frames: str = parameter("frames.npy", "The camera's frames: uint8 (N, H, W, 3) as a .npy file")
    rate_hz: float = parameter(4.0, "Frames a second", limits=(0.1, 1000.0))
    recorded_hz: float = parameter(
        15.0, "Rate at which the frames were taken, which is what coders are told", limits=(0.1, 1000.0)
    )
    count: int = parameter(
        10, "Frames of one round; the frames begin again after the last", limits=(1, 10**6)
    )
    rounds: int = parameter(1, "Rounds, each a fresh stream", limits=(1, 10**4))
    folder: str = parameter("link", "Folder through which the rounds are started and reported")


@dataclass(frozen=True)
class ReceiverParameters:
    """What the receiver of images takes."""

    bundle: str = parameter("street", BUNDLE)
    codec: str = parameter("raw", CODEC)
    quality: int = parameter(0, "Quality of a rival codec", limits=(-1000, 1000))
    recorded_hz: float = parameter(
        15.0, "Rate at which the frames were taken, which is what coders are told", limits=(0.1, 1000.0)
    )
    head: str = parameter("segmentation", "Head whose masks are kept")
    height: int = parameter(360, "Height of the camera's frames [pixels]", limits=(1, 65535))
    width: int = parameter(480, "Width of the camera's frames [pixels]", limits=(1, 65535))
    device: str = parameter("cpu", "Where the networks run", choices=("cpu", "cuda"))
    threads: int = parameter(0, "CPU threads of the networks, 0 leaves the choice to torch", limits=(0, 256))
    folder: str = parameter("masks", "Folder to write each prediction into")


@dataclass(frozen=True)
class RecorderParameters:
    """What the recorder of a server node's masks takes."""

    head: str = parameter("segmentation", "Head whose masks are kept")
    folder: str = parameter("masks", "Folder to write each prediction into")


@dataclass(frozen=True)
class WatcherParameters:
    """What the watcher of an edge node takes."""

    frames: str = parameter("frames.npy", "The camera's frames: uint8 (N, H, W, 3) as a .npy file")
    rate_hz: float = parameter(30.0, "Frames a second", limits=(0.1, 1000.0))
    folder: str = parameter("watch", "Folder through which it is told to listen, and says what it saw")
