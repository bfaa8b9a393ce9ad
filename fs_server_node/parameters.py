# SPDX-License-Identifier: Apache-2.0
"""Parameters of the server node."""

from __future__ import annotations

from dataclasses import dataclass

from fs_common.parameters import QOS_CHOICES, CommonParameters, parameter

ALL_HEADS = "all"


@dataclass(frozen=True)
class ServerParameters(CommonParameters):
    """What the server node takes."""

    more_bundles: tuple[str, ...] = parameter(
        (),
        "Further bundles, [''] for none: a packet goes to every bundle of its codec, an image to all; "
        "what bundle B makes of R/latent is published below R/B/",
    )
    device: str = parameter("cpu", "Where the networks run", choices=("cpu", "cuda"))
    threads: int = parameter(0, "CPU threads of the networks, 0 leaves the choice to torch", limits=(0, 256))
    latent_topics: tuple[str, ...] = parameter(
        ("latent",),
        "Latents of one or several robots, [''] for none; the results of R/latent are published below R/",
    )
    image_topics: tuple[str, ...] = parameter(
        (),
        "Plain images of clients without an encoder, [''] for none, for the unmodified backbone; the results of "
        "R/image, or of R/image/compressed (sensor_msgs/CompressedImage), are published below R/",
    )
    heads: tuple[str, ...] = parameter((ALL_HEADS,), "Heads to run by name, or all", changeable=True)
    score_threshold: float = parameter(
        0.0,
        "Score from which a detection is published; 0 takes the threshold of the bundle",
        limits=(0.0, 1.0),
        changeable=True,
    )
    overlay_image: str = parameter(
        "",
        "Image topic to draw the overlay on, beside each latent topic, or a full name; empty draws on black. "
        "It is subscribed to at full size, so name one only where the link can carry it",
    )
    result_reliability: str = parameter("reliable", "QoS reliability of results", choices=QOS_CHOICES)
    result_depth: int = parameter(5, "QoS depth (keep last) of results", limits=(1, 100))
